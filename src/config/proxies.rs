use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// The reverse proxies that are believed when they say whose request they pass on. Clones share
/// the list.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Those whose addresses lie within `networks`.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks.into())
    }

    /// Whether whoever asks from this address is one of them; with none given, whether there are any.
    pub fn include(&self, address: Option<IpAddr>) -> bool {
        address.map_or(!self.0.is_empty(), |address| self.contain(address))
    }

    /// Whether this is the address of one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}
