/*!
ConvNeXt, EfficientNet-Lite1 and -2 and the transformers match PyTorch, in every published form, and
everything that uses a trunk works with them.

`golden/trunks.safetensors` contains PyTorch's results with weights by a formula
(`common/published.rs`).
*/
use std::path::PathBuf;

use crate::common::TestEnv;
use crate::common::published::{Tensors, drawn, error, golden, input, read, write};
use barbule::device::Device;
use barbule::model::Model;
use barbule::trunk::{Import, Trunk, TrunkKind, import_weights, weights};

const GOLDEN: &[u8] = include_bytes!("../golden/trunks.safetensors");

/// The range of a tensor's values.
fn range(name: &str, shape: &[usize]) -> [f64; 2] {
    let last = name.rsplit('.').next().unwrap();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    match last {
        "gamma" => [0.1, 0.5],
        "running_var" => [0.5, 1.5],
        "weight" if shape.len() == 1 && has(&["norm", "downsample", "bn"]) => [0.5, 1.5],
        _ if shape.len() == 1 => [-0.3, 0.3],
        _ if has(&["token", "pos_embed"]) => [-1.0, 1.0],
        _ => {
            let bound = (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
            [-bound, bound]
        }
    }
}

/// Draws tensors by the formula.
struct Draw(Tensors);

impl Draw {
    fn add(&mut self, name: &str, shape: &[usize]) {
        self.0.push(drawn(name, shape, range(name, shape)));
    }

    fn pair(&mut self, name: &str, shape: &[usize]) {
        self.add(&format!("{name}.weight"), shape);
        self.add(&format!("{name}.bias"), &shape[..1]);
    }
}

/// The tensors of a ConvNeXt in its authors' form.
fn convnext(depths: [usize; 4], widths: [usize; 4]) -> Tensors {
    let mut draw = Draw(Vec::new());
    for (stage, (depth, width)) in depths.into_iter().zip(widths).enumerate() {
        let name = format!("downsample_layers.{stage}");
        if stage == 0 {
            draw.pair(&format!("{name}.0"), &[width, 3, 4, 4]);
            draw.pair(&format!("{name}.1"), &[width]);
        } else {
            draw.pair(&format!("{name}.0"), &[widths[stage - 1]]);
            draw.pair(&format!("{name}.1"), &[width, widths[stage - 1], 2, 2]);
        }
        for block in 0..depth {
            let name = format!("stages.{stage}.{block}");
            draw.pair(&format!("{name}.dwconv"), &[width, 1, 7, 7]);
            draw.pair(&format!("{name}.norm"), &[width]);
            draw.pair(&format!("{name}.pwconv1"), &[4 * width, width]);
            draw.pair(&format!("{name}.pwconv2"), &[width, 4 * width]);
            draw.add(&format!("{name}.gamma"), &[width]);
        }
    }
    draw.pair("norm", &[widths[3]]);
    draw.pair("head", &[1000, widths[3]]);
    draw.0
}

/// The shape of a transformer.
#[derive(Clone, Copy)]
struct Shape {
    width: usize,
    patch: usize,
    grid: usize,
    registers: usize,
    scales: bool,
    clip: bool,
}

const PLAIN: Shape =
    Shape { width: 384, patch: 16, grid: 14, registers: 0, scales: false, clip: false };
const DINOV2: Shape = Shape { patch: 14, grid: 37, scales: true, ..PLAIN };
const CLIP: Shape = Shape { width: 768, clip: true, ..PLAIN };

/// The tensors of a transformer in the form of DINOv2's authors.
fn vit(shape: Shape) -> Tensors {
    let Shape { width, patch, grid, registers, scales, clip } = shape;
    let mut draw = Draw(Vec::new());
    draw.add("cls_token", &[1, 1, width]);
    if grid > 0 {
        draw.add("pos_embed", &[1, 1 + grid * grid, width]);
    }
    if registers > 0 {
        draw.add("register_tokens", &[1, registers, width]);
    }
    draw.add("patch_embed.proj.weight", &[width, 3, patch, patch]);
    if clip {
        draw.pair("norm_pre", &[width]);
        draw.add("projection.weight", &[512, width]);
    } else {
        draw.add("patch_embed.proj.bias", &[width]);
    }
    for block in 0..12 {
        let name = format!("blocks.{block}");
        draw.pair(&format!("{name}.norm1"), &[width]);
        draw.pair(&format!("{name}.attn.qkv"), &[3 * width, width]);
        draw.pair(&format!("{name}.attn.proj"), &[width, width]);
        draw.pair(&format!("{name}.norm2"), &[width]);
        draw.pair(&format!("{name}.mlp.fc1"), &[4 * width, width]);
        draw.pair(&format!("{name}.mlp.fc2"), &[width, 4 * width]);
        if scales {
            draw.add(&format!("{name}.ls1.gamma"), &[width]);
            draw.add(&format!("{name}.ls2.gamma"), &[width]);
        }
        if grid == 0 {
            let mask: Vec<f32> =
                (0..3 * width).map(|k| if k / width == 1 { 0.0 } else { 1.0 }).collect();
            draw.0.push((format!("{name}.attn.qkv.bias_mask"), vec![3 * width], mask));
        }
    }
    draw.pair("norm", &[width]);
    draw.0
}

/// The tensors of an EfficientNet-Lite in the released form.
fn lite(channels: [usize; 7]) -> Tensors {
    let mut draw = Draw(Vec::new());
    let conv = |draw: &mut Draw, conv: &str, norm: &str, shape: [usize; 4]| {
        draw.add(&format!("{conv}.weight"), &shape);
        for part in ["running_mean", "running_var", "weight", "bias"] {
            draw.add(&format!("{norm}.{part}"), &shape[..1]);
        }
    };
    conv(&mut draw, "_conv_stem", "_bn0", [32, 3, 3, 3]);
    let (mut input, mut number) = (32, 0);
    let kernels = [3, 3, 5, 3, 5, 5, 3];
    for (stage, (repeats, output)) in [1, 3, 3, 4, 4, 5, 1].into_iter().zip(channels).enumerate() {
        for _ in 0..repeats {
            let name = format!("_blocks.{number}");
            let wide = if stage > 0 { 6 * input } else { input };
            let part = |part: &str| format!("{name}.{part}");
            if stage > 0 {
                conv(&mut draw, &part("_expand_conv"), &part("_bn0"), [wide, input, 1, 1]);
            }
            let kernel = kernels[stage];
            conv(&mut draw, &part("_depthwise_conv"), &part("_bn1"), [wide, 1, kernel, kernel]);
            conv(&mut draw, &part("_project_conv"), &part("_bn2"), [output, wide, 1, 1]);
            (input, number) = (output, number + 1);
        }
    }
    conv(&mut draw, "_conv_head", "_bn1", [1280, input, 1, 1]);
    draw.0
}

/// The published tensors of a trunk, and the size of the golden file's input.
fn published(kind: TrunkKind) -> (Tensors, usize) {
    use TrunkKind as K;
    let dinov2 = |width, registers| vit(Shape { width, registers, ..DINOV2 });
    let b32 = |of: Shape| vit(Shape { width: 768, patch: 32, grid: 7, ..of });
    let atto = |widths| convnext([2, 2, 6, 2], widths);
    match kind {
        K::EfficientNetLite1 => (lite([16, 24, 40, 80, 112, 192, 320]), 65),
        K::EfficientNetLite2 => (lite([16, 24, 48, 88, 120, 208, 352]), 65),
        K::ConvNextAtto => (atto([40, 80, 160, 320]), 65),
        K::ConvNextFemto => (atto([48, 96, 192, 384]), 65),
        K::ConvNextPico => (atto([64, 128, 256, 512]), 65),
        K::ConvNextNano => (convnext([2, 2, 8, 2], [80, 160, 320, 640]), 65),
        K::ConvNextTiny => (convnext([3, 3, 9, 3], [96, 192, 384, 768]), 65),
        K::DinoV2S14 => (dinov2(384, 0), 70),
        K::DinoV2S14Registers => (dinov2(384, 4), 70),
        K::DinoV2B14 => (dinov2(768, 0), 42),
        K::DinoV2B14Registers => (dinov2(768, 4), 42),
        K::DinoV3S16 => (vit(Shape { grid: 0, registers: 4, scales: true, ..PLAIN }), 80),
        K::ClipB32 | K::OpenClipB32 => (b32(CLIP), 96),
        K::ClipB16 | K::OpenClipB16 => (vit(CLIP), 64),
        K::VitTi16 => (vit(Shape { width: 192, ..PLAIN }), 320),
        K::VitS16 => (vit(PLAIN), 80),
        K::VitB32 => (b32(PLAIN), 96),
        K::VitB16 => (vit(Shape { width: 768, ..PLAIN }), 64),
        other => panic!("{other} has a golden file of its own"),
    }
}

fn only(kind: TrunkKind) -> Import {
    Import::default().with(|import| import.trunk = Some(kind))
}

/// Compares networks with PyTorch's on every device.
fn compare(kinds: &[TrunkKind]) {
    let env = TestEnv::new();
    let path = env.path("published.safetensors");
    for kind in kinds {
        let (tensors, size) = published(*kind);
        write(&path, &tensors);
        drop(tensors);
        for device in [Some(Device::Cpu), crate::common::gpu()].into_iter().flatten() {
            let trunk = import_weights(&path, &only(*kind), &device.burn()).unwrap().fold();
            let map = trunk.stem.forward(input(1, size, &device));
            let pooled = error(
                &read(trunk.refine.pooled(map.clone())),
                &golden(GOLDEN, &format!("{kind}.pooled")).1,
            );
            let [_, channels, height, width] = map.dims();
            let (shape, expected) = golden(GOLDEN, &format!("{kind}.stem"));
            // Every channel of an eighth.
            let every = channels / 8;
            assert_eq!(shape, [1, channels.div_ceil(every), height, width], "{kind}");
            let area = height * width;
            let all = read(map.clone());
            let some: Vec<f32> =
                all.chunks(area).step_by(every).flat_map(|map| map.to_vec()).collect();
            let stem = error(&some, &expected);
            println!("{kind}, {size}², {device}: stem {stem:.1e}, features {pooled:.1e}");
            assert!(stem < 1e-3 && pooled < 1e-3, "{kind}, {device}: {stem}, {pooled}");
            if matches!(kind, TrunkKind::DinoV3S16 | TrunkKind::VitTi16) {
                let attention = read(trunk.refine.class_attention(map).unwrap());
                let expected = golden(GOLDEN, &format!("{kind}.attention")).1;
                let error = error(&attention, &expected);
                assert!(error < 1e-3, "{kind}, {device}: attention {error}");
            }
        }
    }
}

#[test]
fn convolutional_networks_give_what_pytorch_gives() {
    compare(&[
        TrunkKind::EfficientNetLite1,
        TrunkKind::EfficientNetLite2,
        TrunkKind::ConvNextAtto,
        TrunkKind::ConvNextNano,
        TrunkKind::ConvNextTiny,
    ]);
}

#[test]
fn transformers_give_what_pytorch_gives() {
    compare(&[
        TrunkKind::DinoV2S14,
        TrunkKind::DinoV2S14Registers,
        TrunkKind::DinoV3S16,
        TrunkKind::VitTi16,
        TrunkKind::ClipB32,
        TrunkKind::OpenClipB16,
    ]);
}

#[test]
#[ignore = "the other sizes of the same networks, half a minute"]
fn all_other_sizes_give_what_pytorch_gives() {
    compare(&[
        TrunkKind::ConvNextFemto,
        TrunkKind::ConvNextPico,
        TrunkKind::DinoV2B14,
        TrunkKind::DinoV2B14Registers,
        TrunkKind::ClipB16,
        TrunkKind::OpenClipB32,
        TrunkKind::VitS16,
        TrunkKind::VitB32,
        TrunkKind::VitB16,
    ]);
}

/// Replaces parts of names.
fn renamed(tensors: &Tensors, pairs: &[(&str, &str)]) -> Tensors {
    let mut all = tensors.clone();
    for (name, ..) in &mut all {
        for (from, to) in pairs {
            *name = name.replace(from, to);
        }
    }
    all
}

/// Cuts queries, keys and values apart.
fn apart(tensors: Tensors, names: [&str; 3]) -> Tensors {
    let mut all = Vec::new();
    for (name, shape, values) in tensors {
        let Some((before, after)) = name.split_once("attn.qkv") else {
            all.push((name, shape, values));
            continue;
        };
        let mut third = shape.clone();
        third[0] /= 3;
        for (part, values) in names.into_iter().zip(values.chunks(values.len() / 3)) {
            all.push((format!("{before}{part}{after}"), third.clone(), values.to_vec()));
        }
    }
    all
}

/// Returns the fingerprint of what is imported from tensors.
fn imported(env: &TestEnv, tensors: &Tensors, kind: Option<TrunkKind>) -> Result<String, String> {
    let path = env.path("form.safetensors");
    write(&path, tensors);
    let import = Import::default().with(|import| import.trunk = kind);
    let trunk = import_weights(&path, &import, &Device::Cpu.burn());
    let trunk = trunk.map_err(|error| error.to_string())?;
    Ok(format!("{} {}", trunk.kind(), weights::fingerprint(&trunk).unwrap()))
}

#[test]
fn every_published_form_gives_the_same_trunk() {
    let env = TestEnv::new();
    let same = |forms: &[Tensors], kind: Option<TrunkKind>| {
        let first = imported(&env, &forms[0], kind).unwrap();
        for (number, form) in forms.iter().enumerate() {
            assert_eq!(imported(&env, form, kind).as_ref(), Ok(&first), "form {number}");
        }
        first
    };

    let (meta, _) = published(TrunkKind::ConvNextAtto);
    let mut timm = renamed(
        &meta,
        &[
            ("downsample_layers.0.", "stem."),
            ("downsample_layers.1", "stages.1.downsample"),
            ("downsample_layers.2", "stages.2.downsample"),
            ("downsample_layers.3", "stages.3.downsample"),
            ("dwconv", "conv_dw"),
            ("pwconv", "mlp.fc"),
        ],
    );
    for (name, shape, _) in &mut timm {
        let parts: Vec<&str> = name.split('.').collect();
        *name = match parts[..] {
            ["norm", part] => format!("head.norm.{part}"),
            ["head", part] => format!("head.fc.{part}"),
            ["stages", stage, block, ..] if block != "downsample" => {
                format!("stages.{stage}.blocks.{block}.{}", parts[3..].join("."))
            }
            _ => name.clone(),
        };
        if name.contains("mlp.fc") && name.ends_with("weight") {
            shape.extend([1, 1]);
        }
    }
    let mut dinov3 = meta.clone();
    dinov3.retain(|(name, ..)| !name.starts_with("head."));
    for part in ["weight", "bias"] {
        let norm = dinov3.iter().find(|(name, ..)| *name == format!("norm.{part}")).unwrap();
        let again = (format!("norms.3.{part}"), norm.1.clone(), norm.2.clone());
        dinov3.push(again);
    }
    assert!(same(&[meta, timm, dinov3], None).starts_with("convnext-atto"));

    let (plain, _) = published(TrunkKind::VitTi16);
    let blocks = [
        ("cls_token", "vit.embeddings.cls_token"),
        ("pos_embed", "vit.embeddings.position_embeddings"),
        ("patch_embed.proj", "vit.embeddings.patch_embeddings.projection"),
        ("norm1", "layernorm_before"),
        ("norm2", "layernorm_after"),
        ("mlp.fc1", "intermediate.dense"),
        ("mlp.fc2", "output.dense"),
        ("attn.proj", "attention.output.dense"),
        ("blocks.", "vit.encoder.layer."),
    ];
    let names = ["query", "key", "value"].map(|part| format!("attention.attention.{part}"));
    let names = names.each_ref().map(String::as_str);
    let mut transformers = apart(renamed(&plain, &blocks), names);
    for (name, ..) in &mut transformers {
        if let Some(part) = name.strip_prefix("norm.") {
            *name = format!("vit.layernorm.{part}");
        }
    }
    let mut wrapped = renamed(&plain, &[]);
    wrapped.iter_mut().for_each(|(name, ..)| *name = format!("state_dict.model.{name}"));
    assert!(same(&[plain, transformers, wrapped], None).starts_with("vit-ti16"));
}

#[test]
fn registers_and_projections_are_read_in_every_form() {
    let env = TestEnv::new();
    let kind = TrunkKind::DinoV2S14Registers;
    let (meta, _) = published(kind);
    // timm adds the class token's position to the token.
    let mut timm = renamed(&meta, &[("register_tokens", "reg_token")]);
    let row: Vec<f32> = timm.iter().find(|t| t.0 == "pos_embed").unwrap().2[..384].to_vec();
    for (name, shape, values) in &mut timm {
        if name == "cls_token" {
            values.iter_mut().zip(&row).for_each(|(value, of)| *value += of);
        } else if name == "pos_embed" {
            values.drain(..384);
            shape[1] -= 1;
        }
    }
    let features = |tensors: &Tensors, kind: TrunkKind| {
        let path = env.path("form.safetensors");
        write(&path, tensors);
        let trunk = import_weights(&path, &only(kind), &Device::Cpu.burn()).unwrap();
        read(trunk.pooled(input(1, kind.fitting(64) as usize, &Device::Cpu)))
    };
    assert!(error(&features(&timm, kind), &features(&meta, kind)) < 1e-5);

    let (plain, _) = published(TrunkKind::ClipB32);
    let mut openai = renamed(
        &plain,
        &[
            ("cls_token", "class_embedding"),
            ("pos_embed", "positional_embedding"),
            ("patch_embed.proj", "conv1"),
            ("norm_pre", "ln_pre"),
            ("norm1", "ln_1"),
            ("norm2", "ln_2"),
            ("attn.qkv.", "attn.in_proj_"),
            ("attn.proj", "attn.out_proj"),
            ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"),
            ("blocks.", "transformer.resblocks."),
            ("projection.weight", "proj"),
        ],
    );
    for (name, shape, values) in &mut openai {
        match name.as_str() {
            "class_embedding" | "positional_embedding" => drop(shape.remove(0)),
            "proj" => {
                let old = values.clone();
                let (rows, columns) = (shape[0], shape[1]);
                *values = (0..old.len()).map(|k| old[k % rows * columns + k / rows]).collect();
                shape.reverse();
            }
            _ => {}
        }
        if name == "class_embedding" {
            shape.remove(0);
        }
        if let Some(part) = name.strip_prefix("norm.") {
            *name = format!("ln_post.{part}");
        }
        *name = format!("visual.{name}");
    }
    openai.push(("token_embedding.weight".into(), vec![2, 3], vec![0.0; 6]));
    let mut timm = renamed(&plain, &[("projection.weight", "head.weight")]);
    timm.push(("head.bias".into(), vec![512], vec![0.0; 512]));
    let expected = imported(&env, &plain, Some(TrunkKind::ClipB32)).unwrap();
    for form in [openai, timm] {
        let error = imported(&env, &form, None).unwrap_err();
        assert!(error.contains("clip-vitb32 or openclip-vitb32"), "{error}");
        assert_eq!(imported(&env, &form, Some(TrunkKind::ClipB32)).unwrap(), expected);
    }
}

#[test]
fn networks_that_are_not_supported_are_told_with_the_nearest() {
    let env = TestEnv::new();
    let refused = |tensors: &Tensors| imported(&env, tensors, None).unwrap_err();
    let (atto, _) = published(TrunkKind::ConvNextAtto);
    let mut v2 = atto.clone();
    v2.push(("stages.0.0.grn.gamma".into(), vec![1, 1, 1, 160], vec![0.0; 160]));
    assert!(refused(&v2).contains("ConvNeXt V2"), "{}", refused(&v2));
    let deep = convnext([2, 2, 7, 2], [40, 80, 160, 320]);
    assert!(refused(&deep).contains("the nearest is convnext-atto"), "{}", refused(&deep));
    let odd = vit(Shape { width: 192, patch: 8, grid: 28, ..PLAIN });
    assert!(refused(&odd).contains("patches of 8 pixels"), "{}", refused(&odd));
    assert!(refused(&odd).contains("the nearest is vit-ti16"), "{}", refused(&odd));
    let large = vit(Shape { width: 192, grid: 24, ..PLAIN });
    assert!(refused(&large).contains("24×24 patches instead of 14×14"), "{}", refused(&large));
    let mut gated = vit(Shape { width: 192, grid: 0, registers: 4, scales: true, ..PLAIN });
    gated.push(("blocks.0.mlp.w1.weight".into(), vec![1], vec![0.0]));
    assert!(refused(&gated).contains("gated layers"), "{}", refused(&gated));
    let mut less = atto.clone();
    less.retain(|(name, ..)| name != "stages.3.1.gamma");
    assert!(refused(&less).contains("missing tensor refine.stage4.1.scale"), "{}", refused(&less));
    let mut more = atto.clone();
    more.push(("stages.3.1.extra".into(), vec![1], vec![0.0]));
    assert!(refused(&more).contains("unexpected tensor"), "{}", refused(&more));
}

/// Writes a trunk with weights by the formula in Barbule's format.
fn own_file(env: &TestEnv, kind: TrunkKind) -> PathBuf {
    write(&env.path("published.safetensors"), &published(kind).0);
    let path = env.path("published.safetensors");
    let trunk = import_weights(&path, &only(kind), &Device::Cpu.burn()).unwrap();
    let out = env.path(&format!("{kind}.safetensors"));
    weights::save(&trunk, &out, true).unwrap();
    out
}

#[test]
fn files_keep_the_preparation_of_images_and_the_licence() {
    let env = TestEnv::new();
    write(&env.path("p.safetensors"), &published(TrunkKind::VitTi16).0);
    let config = r#"{"pretrained_cfg": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
        "interpolation": "bicubic", "crop_pct": 0.95}}"#;
    env.write("config.json", config);
    let import = ["weights", "import", "p.safetensors", "--out", "own.safetensors"];
    let told = env.json(&[&import[..], &["--config", "config.json", "--licence", "CC0"]].concat());
    assert_eq!((&told["trunk"], &told["licence"]), (&"vit-ti16".into(), &"CC0".into()));
    let file = env.path("own.safetensors");
    let trunk = weights::load(&file, TrunkKind::VitTi16, &Device::Cpu.burn()).unwrap();
    assert_eq!((trunk.input().shown, trunk.input().std[0]), (0.95, 0.229 * 255.0));
    assert_eq!(trunk.licence(), "CC0");
    let error = env.fails(&[&import[..], &["--config", "p.safetensors"]].concat());
    assert!(error.contains("how images are prepared from p.safetensors"), "{error}");
    let usual: Trunk =
        import_weights(&env.path("p.safetensors"), &Import::default(), &Device::Cpu.burn())
            .unwrap();
    assert_eq!(usual.input(), TrunkKind::VitTi16.input());
    let list = env.ok(&["weights", "list"]);
    for kind in TrunkKind::ALL {
        assert!(list.contains(kind.name()), "{kind}: {list}");
    }
    let one = env.ok(&["weights", "list", "dinov3-vits16"]);
    assert!(one.contains("DINOv3 License") && one.contains("accepted"), "{one}");
}

#[test]
fn models_on_other_trunks_train_index_search_and_explain() {
    let env = TestEnv::with_birds(3, 6);
    let cases = [
        (TrunkKind::ConvNextAtto, "dch", "refine"),
        (TrunkKind::ConvNextAtto, "exchnet", "refine"),
        (TrunkKind::VitTi16, "adsh", "full"),
        (TrunkKind::VitTi16, "orthohash", "refine"),
        (TrunkKind::VitTi16, "lda-itq", ""),
    ];
    for (kind, method, trained) in cases {
        let file = own_file(&env, kind);
        let (file, name) = (file.to_str().unwrap(), kind.name());
        let mut train = vec!["train", method, "--data", "birds", "--bits", "16", "--size", "64"];
        train.extend(["--out", "m.safetensors", "--trunk", name, "--weights", file]);
        if !trained.is_empty() {
            train.extend(["--train", trained, "--outer", "1", "--epochs", "1", "--batch", "6"]);
            train.extend(["--cache", "cache"]);
        }
        env.ok(&train);
        let figures = env.json(&["eval", "--model", "m.safetensors", "--data", "birds"]);
        assert_eq!(figures["trunk"], name);
        let index = format!("{name}-{method}.db");
        env.ok(&["index", "birds", "--model", "m.safetensors", "--index", &index]);
        let model = ["--model", "m.safetensors"];
        let search = ["search", "birds/class-1/2.png", "--index", &index, "-k", "1"];
        let hits = env.json(&[&search[..], &model].concat());
        assert!(hits.to_string().contains("class-1/2.png"), "{hits}");
        let model = Model::open(&env.path("m.safetensors"), &Device::Cpu).unwrap();
        let maps = model.card().attention_maps();
        let explain =
            ["explain", "birds/class-1/2.png", "--model", "m.safetensors", "--out", "look"];
        match maps {
            0 => drop(env.fails(&explain)),
            _ => {
                let told = env.json(&explain);
                assert_eq!(told["files"].as_array().unwrap().len(), maps + 1, "{told}");
            }
        }
    }
    let file = env.path("vit-ti16.safetensors");
    let train = |method, size| {
        let file = file.to_str().unwrap();
        let mut train = vec!["train", method, "--data", "birds", "--out", "n.safetensors"];
        train.extend(["--trunk", "vit-ti16", "--weights", file, "--cache", "cache"]);
        env.fails(&[&train[..], &["--size", size]].concat())
    };
    let error = train("exchnet", "64");
    assert!(error.contains("weighs positions") && error.contains("vit-ti16"), "{error}");
    assert!(train("dsah", "64").contains("weighs positions"));
    assert!(train("adsh", "70").contains("patches of 16; choose 64 or 80"));
}
