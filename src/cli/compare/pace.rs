/*!
An estimate of the time for the remaining runs.
*/

/// Times of finished runs, by method.
pub struct Pace {
    total: usize,
    seen: Vec<(String, f64)>,
}

impl Pace {
    pub fn new(total: usize) -> Self {
        Self { total, seen: Vec::with_capacity(total) }
    }

    pub fn saw(&mut self, name: &str, seconds: f64) {
        self.seen.push((name.to_owned(), seconds));
    }

    /// Returns the time for runs of these names; methods without a finished run count as the mean.
    pub fn left<'a>(&self, names: impl Iterator<Item = &'a str>) -> String {
        let mean = |of: &dyn Fn(&str) -> bool| {
            let seconds = self.seen.iter().filter(|(name, _)| of(name)).map(|(_, s)| *s);
            let seconds: Vec<f64> = seconds.collect();
            (!seconds.is_empty()).then(|| seconds.iter().sum::<f64>() / seconds.len() as f64)
        };
        let one = |name: &str| mean(&|n| n == name).or_else(|| mean(&|_| true)).unwrap_or(0.0);
        match names.map(one).sum::<f64>() {
            _ if self.seen.len() == self.total => String::new(),
            seconds if seconds < 90.0 => format!("; about {seconds:.0} s left"),
            seconds if seconds < 5400.0 => format!("; about {:.0} min left", seconds / 60.0),
            seconds => format!("; about {:.1} h left", seconds / 3600.0),
        }
    }
}
