/*!
Looking up methods by name.
*/

use super::definition::Method;
use super::{METHODS, MethodError};

/// Returns the method with the given name.
///
/// # Errors
/// [`MethodError::Unknown`].
pub fn method(name: &str) -> Result<&'static Method, MethodError> {
    let found = METHODS.iter().find(|method| method.name == name);
    found
        .copied()
        .ok_or_else(|| MethodError::Unknown { name: name.to_owned(), names: names(|_| true) })
}

/// Returns the names of the methods that satisfy `wanted`, separated by commas.
pub fn names(wanted: impl Fn(&Method) -> bool) -> String {
    let names = METHODS.iter().filter(|method| wanted(method)).map(|method| method.name);
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::code::CodeError;
    use crate::eval::evaluate;
    use crate::hash::{FeatureError, Features, Hash};
    use crate::method::planted::{Set, planted};
    use crate::method::{FitInput, Kind, Making, MethodOption, Recipe, Settings, Trained, Value};
    use crate::method::{dsah, exchnet, itq, lda, lsh, sdh, whitened};
    use crate::task::{Stopped, Task};

    /// The methods that are fitted in closed form.
    fn fitted() -> [&'static Method; 5] {
        [&lsh::METHOD, &whitened::METHOD, &itq::METHOD, &lda::METHOD, &sdh::METHOD]
    }

    fn input<'a>(
        features: Features<'a>,
        labels: &'a [Vec<u32>],
        bits: usize,
        seed: u64,
    ) -> FitInput<'a> {
        FitInput { features, labels, bits, seed }
    }

    fn fit(method: &Method, set: &Set, bits: usize, seed: u64) -> Result<Hash, MethodError> {
        let made = method.make_fitted(&Settings::default())?;
        made.fit(input(set.features(), &set.labels, bits, seed), &Task::unwatched())
    }

    /// mAP of queries from one sample against a database from another, to which the method was
    /// fitted.
    fn map(method: &Method, bits: usize, seed: u64) -> f64 {
        let (database, queries) = (planted(10, 40, 32, 3.0, 1), planted(10, 8, 32, 3.0, 2));
        let hash = fit(method, &database, bits, seed).unwrap();
        let codes = |set: &Set| hash.encode(&set.features()).unwrap();
        let (d, q) = (codes(&database), codes(&queries));
        evaluate(&q, &queries.labels, &d, &database.labels, &Task::unwatched()).unwrap().map
    }

    #[test]
    fn labels_help_and_learning_does_not_hurt() {
        for bits in [8, 24] {
            let mean = |method| (0..5).map(|seed| map(method, bits, seed)).sum::<f64>() / 5.0;
            let [lsh, _, itq, lda, sdh] = fitted().map(mean);
            assert!(itq >= lsh - 0.01, "{bits} bits: ITQ {itq}, LSH {lsh}");
            assert!(lda > itq + 0.1, "{bits} bits: LDA+ITQ {lda}, ITQ {itq}");
            assert!(sdh > itq + 0.1, "{bits} bits: SDH {sdh}, ITQ {itq}");
        }
    }

    #[test]
    fn a_fit_is_decided_by_its_seed_alone() {
        let set = planted(5, 300, 24, 1.0, 3);
        for method in fitted() {
            for bits in [7, 24, 60] {
                let fit = |seed| fit(method, &set, bits, seed).unwrap();
                let first = fit(11);
                assert_eq!(first.bits(), bits);
                let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
                assert_eq!(one_thread.install(|| fit(11)), first, "{method} {bits}");
                assert_ne!(fit(12), first, "{method} {bits}");
            }
        }
    }

    #[test]
    fn a_fit_that_learns_can_be_stopped() {
        let set = planted(3, 20, 16, 1.0, 7);
        let told = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let progress = |done: usize, total: usize| {
            assert!(done < total);
            // In the second step.
            stop.store(told.fetch_add(1, Ordering::Relaxed) == 1, Ordering::Relaxed);
        };
        for method in [&itq::METHOD, &lda::METHOD, &sdh::METHOD] {
            told.store(0, Ordering::Relaxed);
            let task = Task::new(&progress, &stop);
            let made = method.make_fitted(&Settings::default()).unwrap();
            let fitted = made.fit(input(set.features(), &set.labels, 8, 1), &task);
            assert_eq!(fitted, Err(MethodError::Stopped(Stopped)), "{method}");
            assert_eq!(told.load(Ordering::Relaxed), 2, "{method}");
        }
    }

    #[test]
    fn names_and_options_are_unique_and_read_back() {
        let mut names = HashSet::new();
        let mut options: HashMap<&str, &MethodOption> = HashMap::new();
        for known in METHODS {
            assert!(names.insert(known.name) && method(known.name) == Ok(known), "{known}");
            let own: HashSet<&str> = known.options.iter().map(|option| option.name).collect();
            assert_eq!(own.len(), known.options.len(), "{known}");
            // What several methods have is one option of the command line.
            for option in known.options {
                let first = options.entry(option.name).or_insert(option);
                let same = (first.kind, first.value_name) == (option.kind, option.value_name);
                assert!(same, "{known} {}", option.name);
            }
            assert!(!known.help.is_empty() && !known.source.is_empty(), "{known}");
        }
        let error = method("ITQ").unwrap_err().to_string();
        assert!(error.contains("no method is called 'ITQ'; choose one of lsh, whitened-lsh, itq"));
        assert!(METHODS.is_sorted_by_key(|method| method.trains_network()));
    }

    #[test]
    fn printed_defaults_are_the_defaults() {
        let made = |method: &Method, settings: &Settings| match method.making {
            Making::Fitted(make) => format!("{:?}", make(settings).unwrap()),
            Making::Learned(make) => format!("{:?}", make(settings, Trained::Refine).unwrap()),
        };
        for method in METHODS {
            for option in method.options {
                let Ok(value) = option.parse(option.default) else {
                    let several = option.default.contains(';');
                    assert!(several || option.kind == Kind::Flag, "{method} {}", option.name);
                    continue;
                };
                let mut settings = Settings::default();
                settings.set(option.name, value);
                let (given, left_out) =
                    (made(method, &settings), made(method, &Settings::default()));
                assert_eq!(given, left_out, "{method} {}", option.name);
                // Every option has an effect.
                let other = match value {
                    Value::Count(count) => Value::Count(count + 1),
                    Value::Number(number) => Value::Number(number + 0.0625),
                    Value::Word(word) => match option.kind {
                        Kind::Choice(words) => {
                            let mut others = words.iter().map(|(other, _)| *other);
                            Value::Word(others.find(|other| *other != word).unwrap())
                        }
                        _ => value,
                    },
                    other => other,
                };
                settings.set(option.name, other);
                assert_ne!(made(method, &settings), left_out, "{method} {}", option.name);
            }
            for ablation in method.ablations {
                let mut settings = Settings::default();
                settings.set(ablation.option, ablation.value);
                assert_ne!(made(method, &settings), made(method, &Settings::default()));
            }
        }
    }

    #[test]
    fn a_recipe_fills_in_what_is_not_given() {
        let of = |given: &[(&str, &str)], recipe| {
            let settings = exchnet::METHOD.settings(given).unwrap();
            exchnet::METHOD.with_recipe(settings, recipe).count("parts")
        };
        assert_eq!(of(&[], Recipe::Quick), None);
        assert_eq!(of(&[], Recipe::Paper), Some(4));
        assert_eq!(of(&[("parts", "2")], Recipe::Paper), Some(2));
        let error = exchnet::METHOD.settings(&[("margin", "2")]).unwrap_err();
        assert_eq!(error.to_string(), "exchnet has no option margin");
    }

    #[test]
    fn a_method_is_made_in_one_way_only() {
        for method in METHODS {
            let settings = Settings::default();
            let learned = method.make_learned(&settings, Trained::Refine).is_ok();
            assert_eq!(learned, method.trains_network(), "{method}");
            assert_eq!(method.make_fitted(&settings).is_ok(), !learned, "{method}");
        }
        let image = dsah::METHOD.settings(&[("saliency", "image")]).unwrap();
        let made = |trained| dsah::METHOD.make_learned(&image, trained);
        assert!(made(Trained::Full).is_ok());
        assert!(matches!(made(Trained::Refine), Err(MethodError::FrozenStem)));
    }

    #[test]
    fn bad_input_is_an_error_for_every_method() {
        let mut set = planted(3, 4, 6, 1.0, 5);
        for method in fitted() {
            let made = method.make_fitted(&Settings::default()).unwrap();
            let fit = |features, bits| {
                made.fit(input(features, &set.labels, bits, 0), &Task::unwatched())
            };
            assert_eq!(fit(set.features(), 0), Err(CodeError::Bits(0).into()));
            assert_eq!(fit(set.features(), 1025), Err(CodeError::Bits(1025).into()));
            let none = Features { dim: 6, values: &[] };
            assert!(matches!(fit(none, 8), Err(MethodError::Images { .. })));
            let cut = Features { dim: 5, values: &set.values };
            assert!(matches!(fit(cut, 8), Err(MethodError::Features(_))));
        }
        for broken in [f32::NAN, f32::INFINITY] {
            set.values[20] = broken;
            for method in fitted() {
                let error = fit(method, &set, 8, 0).unwrap_err();
                assert_eq!(error, FeatureError::NotFinite(3).into());
            }
        }
    }

    #[test]
    fn more_bits_than_directions_are_filled() {
        // 4 images span 3 directions; 6 features give 6.
        let set = planted(2, 2, 6, 1.0, 5);
        for method in fitted() {
            for bits in [3, 6, 17] {
                let hash = fit(method, &set, bits, 1).unwrap();
                assert_eq!(hash.encode(&set.features()).unwrap().bits(), bits);
                // Every bit has a direction. Only SDH, which fits labels, can have a constant one.
                if *method == sdh::METHOD {
                    continue;
                }
                let weight = |bit: usize| hash.linear().projection().iter().skip(bit).step_by(bits);
                assert!((0..bits).all(|bit| weight(bit).any(|w| w.abs() > 1e-6)));
            }
        }
    }
}
