//! The certificates that the proxy shows: one per name that clients ask for, signed when it is
//! first asked for, and kept. Names that the proxy does not answer to get none.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use rcgen::KeyPair;
use tokio_rustls::rustls::{
    crypto::CryptoProvider,
    pki_types::PrivateKeyDer,
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, SigningKey},
};

use super::{
    Authority, AuthorityError,
    authority::{LEAF_LIFE_DAYS, after_days},
};
use crate::{clock, proxy};

/// More names than this are not kept: whoever asks for made-up names fills no memory.
const KEPT_MAX: usize = 1024;

/// For a client that names nobody, as those do that connect to an address.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The certificates, which share one key that lives as long as the process.
#[derive(Debug)]
pub(super) struct Leaves {
    authority: Authority,
    pair: KeyPair,
    key: Arc<dyn SigningKey>,
    kept: Mutex<BTreeMap<String, Leaf>>,
}

#[derive(Debug, Clone)]
struct Leaf {
    renew: Timestamp,
    certified: Arc<CertifiedKey>,
}

impl Leaves {
    pub(super) fn new(
        authority: Authority,
        provider: &CryptoProvider,
    ) -> Result<Self, AuthorityError> {
        let pair = KeyPair::generate()?;
        let der = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
        let key = provider.key_provider.load_private_key(der);
        let key = key.map_err(|error| AuthorityError::Key(error.to_string()))?;
        Ok(Self { authority, pair, key, kept: Mutex::default() })
    }

    fn leaf(&self, asked: Option<&str>, now: Timestamp) -> Option<Arc<CertifiedKey>> {
        let name = asked.unwrap_or("localhost").to_ascii_lowercase();
        if name != "localhost" && proxy::app_of(&name).is_none() {
            tracing::debug!(name, "a client asked for a name that is not served");
            return None;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(leaf) = kept.get(&name).filter(|leaf| leaf.renew > now) {
            return Some(Arc::clone(&leaf.certified));
        }
        let names = if name == "localhost" { &LOCAL[..] } else { &[&*name] };
        let certificate = match self.authority.sign(names, &self.pair, now) {
            Ok(certificate) => certificate,
            Err(error) => {
                tracing::warn!(%error, name, "a certificate could not be made");
                return None;
            }
        };
        let certified = Arc::new(CertifiedKey::new(vec![certificate], Arc::clone(&self.key)));
        if kept.len() >= KEPT_MAX
            && let Some(oldest) = kept.iter().min_by_key(|(_, leaf)| leaf.renew)
        {
            let oldest = oldest.0.clone();
            kept.remove(&oldest);
        }
        let renew = after_days(now, LEAF_LIFE_DAYS / 2);
        kept.insert(name, Leaf { renew, certified: Arc::clone(&certified) });
        Some(certified)
    }
}

impl ResolvesServerCert for Leaves {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.leaf(client_hello.server_name(), clock::now())
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::crypto::aws_lc_rs;

    use super::*;

    #[test]
    fn a_certificate_is_kept_till_half_of_its_life_and_not_beyond() {
        let directory = tempfile::tempdir().expect("a directory");
        let now = clock::now();
        let authority = Authority::open(directory.path(), "id", now).expect("an authority");
        let leaves = Leaves::new(authority, &aws_lc_rs::default_provider()).expect("leaves");
        let shown = |name: &str, days| {
            leaves.leaf(Some(name), after_days(now, days)).expect("a certificate").cert[0].clone()
        };
        let first = shown("shop.localhost", 0);
        assert_eq!(shown("Shop.localhost", LEAF_LIFE_DAYS / 2 - 1), first);
        assert_ne!(shown("shop.localhost", LEAF_LIFE_DAYS / 2 + 1), first);
        assert!(leaves.leaf(Some("example.com"), now).is_none());
        for number in 0..KEPT_MAX + 9 {
            shown(&format!("a{number}.localhost"), 0);
        }
        assert_eq!(leaves.kept.lock().expect("whole").len(), KEPT_MAX);
        // That of the shop is newer by days than those of the made-up names.
        assert!(leaves.kept.lock().expect("whole").contains_key("shop.localhost"));
    }
}
