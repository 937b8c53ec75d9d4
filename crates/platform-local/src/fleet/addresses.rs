//! The addresses that an app was given.

use machines_api::types::{AssignIp, IpAssignment};

use super::Fleet;
use crate::{clock, error::Refusal, identity};

/// Addresses of one app.
const ADDRESSES_MAX: usize = 50;

/// What addresses of the private network begin with.
pub(crate) const PRIVATE_PREFIX: &str = "fdaa:0:1:0:1::";

impl Fleet {
    /// Gives an app an address; the one that it has, if another would be the same.
    pub(crate) async fn assign_address(
        &self,
        app: &str,
        order: AssignIp,
    ) -> Result<IpAssignment, Refusal> {
        let _turn = self.membership.lock().await;
        let mut record = self.app(app)?;
        let is_shared = order.ip_type == "shared_v4";
        let ip = match order.ip_type.as_str() {
            // Only there the proxy listens.
            "v4" | "shared_v4" => self.context.settings.proxy_listen.ip().to_string(),
            "v6" => format!("fdaa:0:2:{}::1", identity::address_part()),
            "private_v6" => format!("{PRIVATE_PREFIX}{}", identity::address_part()),
            other => {
                return Err(Refusal::unprocessable(format!(
                    "`{other}` is no type of address\nhint: use v4, v6, shared_v4 or private_v6"
                )));
            }
        };
        if let Some(known) = record.addresses.iter().find(|address| address.ip == ip) {
            return Ok(known.clone());
        }
        if record.addresses.len() >= ADDRESSES_MAX {
            return Err(Refusal::unprocessable(format!(
                "app `{app}` has {ADDRESSES_MAX} addresses, which is the limit"
            )));
        }
        let region = if order.region.is_empty() { "global".to_owned() } else { order.region };
        let address = IpAssignment {
            ip,
            region,
            service_name: order.service_name,
            shared: is_shared,
            created_at: Some(clock::now()),
        };
        record.addresses.push(address.clone());
        self.store_app(&record).await?;
        Ok(address)
    }

    pub(crate) async fn release_address(&self, app: &str, ip: &str) -> Result<(), Refusal> {
        let _turn = self.membership.lock().await;
        let mut record = self.app(app)?;
        let before = record.addresses.len();
        record.addresses.retain(|address| address.ip != ip);
        if record.addresses.len() == before {
            return Err(Refusal::not_found(format!("app `{app}` has no address `{ip}`")));
        }
        self.store_app(&record).await
    }
}
