use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// The networks of the reverse proxies whose headers name the client and the original request. Clones
/// share the list.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Trusts all proxies with an address in one of these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks.into())
    }

    /// Whether the proxy at this address is trusted; without an address, whether any proxy is.
    pub fn include(&self, address: Option<IpAddr>) -> bool {
        address.map_or(!self.0.is_empty(), |address| self.contain(address))
    }

    /// Whether the address belongs to a trusted proxy.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}
