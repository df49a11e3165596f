/*!
Random splits for data sets that are published without a retrieval split.

A given number of queries and training images per class is drawn by seed. The database is all
images except the queries.
*/

use super::{Dataset, Sample};

/// The number of images drawn per class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    /// Queries per class.
    pub queries: usize,
    /// Training images per class, drawn from the images that are not queries.
    pub training: usize,
}

/// The usual protocol for CIFAR-10 and NUS-WIDE.
pub(super) const USUAL: Draw = Draw { queries: 100, training: 500 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Query,
    Training,
    /// In the database, but not used for training.
    Database,
}

impl Draw {
    /// Distributes `samples` over the splits of `dataset`; each split keeps their order.
    pub fn deal(self, samples: Vec<Sample>, seed: u64, dataset: &mut Dataset) {
        let labels: Vec<&[u32]> = samples.iter().map(|sample| sample.labels.as_slice()).collect();
        let roles = self.roles(&labels, dataset.classes.len(), seed);
        let mut database = Vec::new();
        for (sample, role) in samples.into_iter().zip(roles) {
            match role {
                Role::Query => dataset.test.push(sample),
                Role::Training => {
                    dataset.train.push(sample.clone());
                    database.push(sample);
                }
                Role::Database => database.push(sample),
            }
        }
        dataset.database = Some(database);
        dataset.split_seed = Some(seed);
    }

    /// Returns the role of each image. Images are ordered by a hash of seed and position. Each
    /// class in turn takes its first images without a role: first the queries of all classes,
    /// then the training images of all classes.
    fn roles(self, labels: &[&[u32]], classes: usize, seed: u64) -> Vec<Role> {
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_cached_key(|place| {
            let text = [seed.to_le_bytes(), (*place as u64).to_le_bytes()].concat();
            *blake3::hash(&text).as_bytes()
        });
        let mut roles = vec![Role::Database; labels.len()];
        for (role, count) in [(Role::Query, self.queries), (Role::Training, self.training)] {
            for class in 0..classes as u32 {
                let free = |place: &&usize| {
                    roles[**place] == Role::Database && labels[**place].contains(&class)
                };
                let drawn: Vec<usize> = order.iter().filter(free).take(count).copied().collect();
                drawn.into_iter().for_each(|place| roles[place] = role);
            }
        }
        roles
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::dataset::Layout;

    fn dealt(labels: &[Vec<u32>], classes: usize, draw: Draw, seed: u64) -> Dataset {
        let names = (0..classes).map(|c| c.to_string()).collect();
        let mut dataset = Dataset::new(Layout::NusWide, "root".as_ref(), names);
        let sample = |(i, l): (usize, &Vec<u32>)| Sample::file(format!("{i}").into(), l.clone());
        draw.deal(labels.iter().enumerate().map(sample).collect(), seed, &mut dataset);
        dataset
    }

    #[test]
    fn the_published_sizes_come_out() {
        // As CIFAR-10: 6,000 images of each of ten classes.
        let labels: Vec<Vec<u32>> = (0..60_000).map(|i| vec![i % 10]).collect();
        let data = dealt(&labels, 10, USUAL, 1);
        assert_eq!(Some(data.counts()), Layout::Cifar10.facts().images);
        for (samples, each) in [(&data.test, 100), (&data.train, 500)] {
            for class in 0..10 {
                assert_eq!(samples.iter().filter(|s| s.labels == [class]).count(), each);
            }
        }
        // As NUS-WIDE: each image has several of 21 concepts, some rarer than others.
        let labels: Vec<Vec<u32>> = (0..195_834u32)
            .map(|i| {
                let of = [i % 21, i.wrapping_mul(2_654_435_761) % 21, (i / 7) % 5];
                HashSet::from(of).into_iter().collect()
            })
            .collect();
        let data = dealt(&labels, 21, USUAL, 1);
        assert_eq!(Some(data.counts()), Layout::NusWide.facts().images);
    }

    #[test]
    fn the_draw_is_the_same_everywhere() {
        let labels: Vec<Vec<u32>> = (0..12).map(|i| vec![i % 2]).collect();
        let draw = Draw { queries: 1, training: 2 };
        let places = |samples: &[Sample]| -> Vec<String> {
            samples.iter().map(|s| s.path.display().to_string()).collect()
        };
        let data = dealt(&labels, 2, draw, 1);
        assert_eq!(places(&data.test), ["1", "6"]);
        assert_eq!(places(&data.train), ["2", "3", "7", "10"]);
        let other = dealt(&labels, 2, draw, 2);
        assert_ne!(data.test, other.test);
    }

    proptest! {
        #[test]
        fn queries_are_in_no_other_split(
            labels in prop::collection::vec(prop::collection::btree_set(0u32..4, 1..4), 0..60),
            queries in 0usize..6,
            training in 0usize..9,
            seed in any::<u64>(),
        ) {
            let labels: Vec<Vec<u32>> = labels.into_iter().map(|l| l.into_iter().collect()).collect();
            let data = dealt(&labels, 4, Draw { queries, training }, seed);
            let places = |samples: &[Sample]| -> HashSet<_> {
                samples.iter().map(|s| s.path.clone()).collect()
            };
            let (test, train) = (places(&data.test), places(&data.train));
            let database = places(data.database());
            prop_assert!(train.is_subset(&database) && test.is_disjoint(&database));
            prop_assert_eq!(test.len() + database.len(), labels.len());
            prop_assert!(test.len() <= 4 * queries && train.len() <= 4 * training);
            for class in 0..4 {
                let of = labels.iter().filter(|l| l.contains(&class)).count();
                let drawn = data.test.iter().filter(|s| s.labels.contains(&class)).count();
                prop_assert!(drawn >= queries.min(of));
            }
        }
    }
}
