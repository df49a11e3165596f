/*!
EfficientNet-Lite0 matches its released implementation in every form in which it runs.

`golden/efficientnet-lite0.safetensors` contains an input of two images and PyTorch's results in
single precision; the shipped weights are in half precision.
*/
use std::path::Path;

use crate::common::published::{self, error, read as values};
use barbule::device::Device;
use barbule::trunk::{Import, Refine, Stem, Trunk, TrunkKind, import_weights, weights};
use burn::tensor::{Tensor, TensorData};

const GOLDEN: &[u8] = include_bytes!("../golden/efficientnet-lite0.safetensors");

/// Returns the shape and values of a tensor in the golden file.
fn golden(name: &str) -> (Vec<usize>, Vec<f32>) {
    published::golden(GOLDEN, name)
}

fn input(device: &Device) -> Tensor<4> {
    let (shape, values) = golden("input");
    Tensor::from_data(TensorData::new(values, shape), &device.burn())
}

/// Returns `[batch, 3, size, size]` of synthetic values in the range of normalised pixels.
fn waves(batch: usize, size: usize, device: &Device) -> Tensor<4> {
    let value = |i: usize| ((i as f32 * 0.37).sin() + (i as f32 * 0.0113).cos()) * 0.9;
    let values: Vec<f32> = (0..batch * 3 * size * size).map(value).collect();
    Tensor::from_data(TensorData::new(values, [batch, 3, size, size]), &device.burn())
}

/// Returns the errors of the stem's map and the pooled features against the golden file.
fn errors_against_golden(trunk: &Trunk, device: &Device) -> [f32; 2] {
    let map = trunk.stem.forward(input(device));
    let (shape, stem) = golden("stem");
    assert_eq!(map.dims().as_slice(), shape);
    let features = trunk.refine.pooled(map.clone());
    let (shape, pooled) = golden("pooled");
    assert_eq!(features.dims().as_slice(), shape);
    [error(&values(map), &stem), error(&values(features), &pooled)]
}

#[test]
fn the_shipped_weights_give_the_released_features() {
    let trunk = weights::shipped(&Device::Cpu.burn()).unwrap().fold();
    let [stem, pooled] = errors_against_golden(&trunk, &Device::Cpu);
    println!("half precision on the CPU: stem {stem:.2e}, pooled {pooled:.2e}");
    assert!(stem < 0.01 && pooled < 0.01, "stem {stem}, pooled {pooled}");
}

#[test]
fn folding_the_norms_changes_nothing() {
    let plain = weights::shipped(&Device::Cpu.burn()).unwrap();
    let folded = plain.clone().fold();
    // 33 and 50 are not multiples of the strides, which tests padding and partial bands.
    for (batch, size) in [(2, 64), (1, 33), (3, 50), (1, 224)] {
        let x = waves(batch, size, &Device::Cpu);
        let stems = [&plain, &folded].map(|trunk| trunk.stem.forward(x.clone()));
        assert_eq!(stems[0].dims(), stems[1].dims());
        let [plain_stem, folded_stem] = stems.map(values);
        let stem = error(&folded_stem, &plain_stem);
        let pooled = error(&values(folded.pooled(x.clone())), &values(plain.pooled(x)));
        assert!(stem < 1e-4 && pooled < 1e-4, "{size}²: stem {stem}, pooled {pooled}");
    }
}

#[test]
fn every_block_is_what_it_is_composed_of() {
    // A stem of the first `blocks` blocks, so that a failure names the faulty block.
    let plain = weights::shipped(&Device::Cpu.burn()).unwrap();
    let part = |trunk: &Trunk, blocks: usize| {
        let (Stem::EfficientNetLite(mut stem), Refine::EfficientNetLite(refine)) =
            (trunk.stem.clone(), trunk.refine.clone())
        else {
            panic!("another trunk ships");
        };
        stem.blocks.extend(refine.blocks);
        stem.blocks.truncate(blocks);
        stem
    };
    let x = waves(2, 72, &Device::Cpu);
    for blocks in 1..=16 {
        let map = values(part(&plain, blocks).fold().forward(x.clone()));
        let expected = values(part(&plain, blocks).forward(x.clone()));
        let difference = error(&map, &expected);
        assert!(difference < 1e-4, "after block {blocks}: {difference}");
    }
}

#[test]
fn a_batch_is_its_images_one_by_one() {
    let trunk = weights::shipped(&Device::Cpu.burn()).unwrap().fold();
    let x = waves(5, 64, &Device::Cpu);
    let together = values(trunk.pooled(x.clone()));
    for image in 0..5 {
        let alone = values(trunk.pooled(x.clone().narrow(0, image, 1)));
        let difference = error(&alone, &together[image * alone.len()..][..alone.len()]);
        assert!(difference < 1e-5, "image {image}: {difference}");
    }
}

#[test]
fn the_gpu_agrees_with_the_cpu() {
    let Some(gpu) = crate::common::gpu() else { return };
    let features = |device: &Device, fold: bool| {
        let trunk = weights::shipped(&device.burn()).unwrap();
        let trunk = if fold { trunk.fold() } else { trunk };
        values(trunk.pooled(waves(1, 64, device)))
    };
    let cpu = features(&Device::Cpu, true);
    for fold in [true, false] {
        let difference = error(&features(&gpu, fold), &cpu);
        println!("{gpu} against the CPU, folded {fold}: {difference:.2e}");
        assert!(difference < 1e-3, "folded {fold}: {difference}");
    }
}

/// `BARBULE_LITE0_WEIGHTS` names a .pth or .safetensors file with the released weights in single
/// precision, which are too large to ship.
#[test]
#[ignore = "needs the released weights: BARBULE_LITE0_WEIGHTS=FILE"]
fn the_released_weights_give_the_released_features() {
    let file = std::env::var("BARBULE_LITE0_WEIGHTS").expect("BARBULE_LITE0_WEIGHTS is not set");
    let required = std::env::var("BARBULE_REQUIRE_GPU").is_ok_and(|v| v == "1");
    let gpu = required.then(crate::common::gpu).flatten();
    for device in [Some(Device::Cpu), gpu].into_iter().flatten() {
        let only = Import::default().with(|of| of.trunk = Some(TrunkKind::EfficientNetLite0));
        let plain = import_weights(Path::new(&file), &only, &device.burn()).unwrap();
        for (form, trunk) in [("folded", plain.clone().fold()), ("as trained", plain)] {
            let [stem, pooled] = errors_against_golden(&trunk, &device);
            println!("single precision, {form}, {device}: stem {stem:.2e}, pooled {pooled:.2e}");
            assert!(stem < 1e-3 && pooled < 1e-3, "{form}, {device}: {stem}, {pooled}");
        }
    }
}
