/*!
The machines that are connected, and how many connections each may have.
*/

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of connections of one other machine; further ones are closed.
const CONNECTIONS_EACH: usize = 16;

/// Counts connections per machine: each connection holds a clone of its machine's entry.
#[derive(Debug, Default)]
pub struct Peers(Mutex<HashMap<IpAddr, Arc<()>>>);

impl Peers {
    /// Returns a place for a connection from `peer`; `None` if it has too many.
    pub fn place(&self, peer: IpAddr) -> Option<Arc<()>> {
        if peer.is_loopback() {
            return Some(Arc::new(()));
        }
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|_, place| Arc::strong_count(place) > 1);
        let place = peers.entry(peer).or_default();
        (Arc::strong_count(place) <= CONNECTIONS_EACH).then(|| place.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_has_so_many_connections_and_no_more() {
        let peers = Peers::default();
        let far: IpAddr = [192, 0, 2, 1].into();
        let mut held: Vec<_> = (0..CONNECTIONS_EACH).map(|_| peers.place(far).unwrap()).collect();
        assert!(peers.place(far).is_none());
        assert!(peers.place([192, 0, 2, 2].into()).is_some());
        assert!(peers.place([127, 0, 0, 1].into()).is_some());
        held.pop();
        held.push(peers.place(far).unwrap());
        assert!(peers.place(far).is_none());
        drop(held);
        assert!(peers.place([127, 0, 0, 1].into()).is_some() && peers.place(far).is_some());
    }
}
