/*!
A counting semaphore.
*/

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// A counting semaphore: at most `most` permits are held at a time, others wait.
#[derive(Debug, Clone)]
pub struct Semaphore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    inside: Mutex<usize>,
    changed: Condvar,
}

/// A permit of a [`Semaphore`], released by dropping it.
#[derive(Debug)]
pub struct Permit(Arc<Inner>);

impl Semaphore {
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most: most.max(1), inside: Mutex::new(0), changed: Condvar::new() }))
    }

    /// Waits for a permit until `deadline`; `None` if there was none by then.
    pub fn enter(&self, deadline: Instant) -> Option<Permit> {
        let mut inside = self.wait(deadline, |inside| inside < self.0.most)?;
        *inside += 1;
        Some(Permit(self.0.clone()))
    }

    /// Waits until no permit is held or `deadline` is reached; returns whether none is held.
    pub fn wait_until_empty(&self, deadline: Instant) -> bool {
        self.wait(deadline, |inside| inside == 0).is_some()
    }

    fn wait(
        &self,
        deadline: Instant,
        ready: impl Fn(usize) -> bool,
    ) -> Option<std::sync::MutexGuard<'_, usize>> {
        let inside = self.0.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.0.changed.wait_timeout_while(inside, left, |inside| !ready(*inside));
        let (inside, _) = waited.unwrap_or_else(PoisonError::into_inner);
        ready(*inside).then_some(inside)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.0.inside.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn so_many_are_inside_and_no_more() {
        let gate = Semaphore::new(2);
        let soon = || Instant::now() + Duration::from_millis(20);
        let (first, second) = (gate.enter(soon()), gate.enter(soon()));
        assert!(first.is_some() && second.is_some());
        assert!(gate.enter(soon()).is_none() && !gate.wait_until_empty(soon()));
        drop(first);
        let third = gate.enter(soon());
        assert!(third.is_some() && gate.enter(soon()).is_none());
        let late = std::thread::spawn(move || drop((second, third)));
        assert!(gate.wait_until_empty(Instant::now() + Duration::from_secs(20)));
        late.join().unwrap();
    }
}
