/*!
After the GPU device is lost, searches continue on the CPU with the same results.

A separate test binary, because all tests of a binary share one device.
*/

#[path = "it/common/gpu.rs"]
mod gpu;

use std::sync::Arc;

use barbule::code::BinaryCodes;
use barbule::device::Device;
use barbule::rank::{Ranker, WordRanker, WordTable};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn a_lost_device_is_replaced_by_the_cpu() {
    let Some(device) = gpu::gpu() else { return };
    let Device::Gpu(gpu) = &device else { panic!("{device} is not a GPU") };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut random = |count: usize| {
        BinaryCodes::from_words(64, (0..count).map(|_| rng.next_u64()).collect()).unwrap()
    };
    let (database, queries) = (Arc::new(random(20_000)), random(3));
    let ranker = Ranker::new(&device, database.clone()).unwrap();
    let before = ranker.top_k(&queries, 50).unwrap();
    assert_eq!(ranker.failure(), None);
    let lengths: Arc<[i32]> = vec![0; database.len()].into();
    let words = WordRanker::new(&device, database.clone(), lengths.clone()).unwrap();
    let table = WordTable::new((0..256).collect()).unwrap();
    let best = words.search(&table, 50, None).unwrap();
    assert_eq!(words.failure(), None);

    gpu.device.destroy();
    assert_eq!(ranker.top_k(&queries, 50).unwrap(), before);
    let reason = ranker.failure().expect("the loss was not noticed").to_owned();
    assert!(reason.contains(&gpu.info.name), "{reason}");
    // A lost device is not used again, not even by a new ranker.
    assert_eq!(ranker.top_k(&queries, 50).unwrap(), before);
    assert_eq!(ranker.failure(), Some(reason.as_str()));
    let late = Ranker::new(&device, database.clone()).unwrap();
    assert_eq!(late.top_k(&queries, 50).unwrap(), before);
    assert!(late.failure().is_some());

    for _ in 0..2 {
        assert_eq!(words.search(&table, 50, None).unwrap(), best);
        assert!(words.failure().is_some_and(|reason| reason.contains(&gpu.info.name)));
    }
    let late = WordRanker::new(&device, database, lengths).unwrap();
    assert_eq!(late.search(&table, 50, None).unwrap(), best);
    assert!(late.failure().is_some());
}
