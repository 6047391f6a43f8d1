//! What the mDNS library tells, in our words.

use std::net::{SocketAddr, SocketAddrV6};

use mdns_sd::{ResolvedService, ScopedIp, ServiceEvent};

use super::found::{HeardService, ServiceNews};

/// What an event says of a service.
pub(super) fn news_of(event: ServiceEvent) -> Option<ServiceNews> {
    match event {
        ServiceEvent::ServiceResolved(service) => Some(ServiceNews::Here(heard(&service))),
        ServiceEvent::ServiceRemoved(_, name) => Some(ServiceNews::Gone(name)),
        _ => None,
    }
}

fn heard(service: &ResolvedService) -> HeardService {
    let text = |key| service.get_property_val_str(key).map(str::to_owned);
    let addresses = service.get_addresses().iter();
    HeardService {
        full_name: service.get_fullname().to_owned(),
        protocol: text("v"),
        id: text("id"),
        addresses: addresses
            .map(|ip| to_address(ip, service.get_port()))
            .collect(),
    }
}

fn to_address(ip: &ScopedIp, port: u16) -> SocketAddr {
    match ip {
        ScopedIp::V6(v6) if v6.addr().is_unicast_link_local() => {
            SocketAddrV6::new(*v6.addr(), port, 0, v6.scope_id().index).into()
        }
        ip => SocketAddr::new(ip.to_ip_addr(), port),
    }
}

#[cfg(test)]
mod tests {
    use mdns_sd::ServiceInfo;

    use super::*;
    use crate::discovery::announcement::{ServiceKind, PROTOCOL};

    #[test]
    fn a_service_is_heard_as_it_was_announced() {
        let text = [("v", PROTOCOL), ("id", "07")];
        let kind = ServiceKind::Tracker.service();
        let addresses = "fd00::7,10.0.0.7";
        let service = ServiceInfo::new(kind, "attic", "attic.local.", addresses, 4670, &text[..]);
        let service = service.unwrap().as_resolved_service();
        let news = news_of(ServiceEvent::ServiceResolved(Box::new(service)));
        let Some(ServiceNews::Here(mut heard)) = news else {
            panic!("it is here");
        };
        heard.addresses.sort();
        assert_eq!(heard.full_name, format!("attic.{kind}"));
        assert_eq!(heard.protocol.as_deref(), Some(PROTOCOL));
        assert_eq!(heard.id.as_deref(), Some("07"));
        let addresses = ["10.0.0.7:4670", "[fd00::7]:4670"].map(|at| at.parse().unwrap());
        assert_eq!(heard.addresses, addresses);
    }

    #[test]
    fn a_link_local_address_keeps_its_interface() {
        let ip = "fe80::1".parse().unwrap();
        let address = SocketAddr::from(SocketAddrV6::new(ip, 4670, 0, 3));
        assert_eq!(address.to_string(), "[fe80::1%3]:4670");
        assert_eq!("[fe80::1%3]:4670".parse(), Ok(address));
    }
}
