//! The certificate authority of one platform: made on first use, kept in the state directory, and
//! made anew before its end. What it signs holds for this computer's names only, so that trusting
//! it gives whoever gets hold of its key no power over other names.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SerialNumber, date_time_ymd,
};
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::pki_types::CertificateDer;

/// The names that the authority may sign for, with all names below them: those that the proxy
/// answers to.
const DOMAINS: [&str; 2] = ["localhost", "fly.dev"];

/// Days for which an authority holds: people put it into their browsers by hand.
const LIFE_DAYS: i64 = 3650;

/// An authority with no more days than this is replaced when the platform starts. A platform that
/// runs for longer than a year without a new start would outlive its authority.
const RENEW_DAYS: i64 = 365;

/// Days for which a signed certificate holds. Each is made anew after half of that.
pub(super) const LEAF_LIFE_DAYS: i64 = 30;

/// Only the platform's user may read the key.
const SECRET_MODE: u32 = 0o600;

/// Everybody may read the certificate, as far as the directory lets them.
const PUBLIC_MODE: u32 = 0o644;

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("cannot {operation} `{path}`: {source}")]
    File { operation: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "`{path}` cannot be read as an authority: {cause}\nhint: remove the file to have a new authority made, which clients must be told to trust"
    )]
    Damaged { path: PathBuf, cause: String },
    #[error("cannot make a key or a certificate: {0}")]
    Key(String),
}

impl From<rcgen::Error> for AuthorityError {
    fn from(error: rcgen::Error) -> Self {
        Self::Key(error.to_string())
    }
}

/// What is stored of an authority, in one file so that key and certificate always fit.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    key: String,
    certificate: String,
    ends: Timestamp,
}

/// An authority that can sign.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_file: PathBuf,
}

impl Authority {
    /// The authority in this directory; a new one if there is none, or if its end is near.
    pub(crate) fn open(
        directory: &Path,
        platform_id: &str,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        fs::create_dir_all(directory).map_err(failed("make", directory))?;
        let secret_file = directory.join("authority.json");
        let known = match fs::read_to_string(&secret_file) {
            Ok(text) => Some(read(&text, &secret_file)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", &secret_file)(error)),
        };
        let lives = |(stored, _): &(Stored, _)| stored.ends > after_days(now, RENEW_DAYS);
        let (stored, key) = if let Some(known) = known.filter(lives) {
            known
        } else {
            let (stored, key) = create(platform_id, now)?;
            let text = serde_json::to_vec_pretty(&stored);
            let text = text.map_err(|error| AuthorityError::Key(error.to_string()))?;
            replace(&secret_file, &text, SECRET_MODE)?;
            tracing::info!(name = stored.name, "a new certificate authority was made");
            (stored, key)
        };
        let certificate_file = directory.join("ca.pem");
        if fs::read_to_string(&certificate_file).ok().as_ref() != Some(&stored.certificate) {
            replace(&certificate_file, stored.certificate.as_bytes(), PUBLIC_MODE)?;
        }
        Ok(Self { issuer: Issuer::new(params(&stored.name), key), certificate_file })
    }

    /// The file that a client must trust.
    pub(crate) fn certificate_file(&self) -> &Path {
        &self.certificate_file
    }

    /// A certificate for these names or addresses, beginning now.
    pub(super) fn sign(
        &self,
        names: &[&str],
        key: &KeyPair,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut leaf = CertificateParams::new(names)?;
        // Its names stand beside it: a common name has room for 64 characters only.
        leaf.distinguished_name = DistinguishedName::new();
        leaf.distinguished_name.push(DnType::OrganizationName, "platform-local");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        // By default it is made from the key, which all of them share.
        leaf.serial_number = Some(SerialNumber::from_slice(&rand::random::<[u8; 16]>()));
        set_life(&mut leaf, now, LEAF_LIFE_DAYS);
        Ok(leaf.signed_by(key, &self.issuer)?.into())
    }
}

fn create(platform_id: &str, now: Timestamp) -> Result<(Stored, KeyPair), AuthorityError> {
    let ends = after_days(now, LIFE_DAYS);
    let year = now.to_zoned_datetime(TimeZone::UTC).year();
    // Unlike that of any other authority that a client may trust too.
    let name = format!("platform-local {year} {platform_id}");
    let key = KeyPair::generate()?;
    let mut authority = params(&name);
    set_life(&mut authority, now, LIFE_DAYS);
    let certificate = authority.self_signed(&key)?.pem();
    Ok((Stored { name, key: key.serialize_pem(), certificate, ends }, key))
}

fn read(text: &str, path: &Path) -> Result<(Stored, KeyPair), AuthorityError> {
    let damaged = |cause: String| AuthorityError::Damaged { path: path.to_owned(), cause };
    // What the parser says of it could show a piece of the key.
    let stored: Stored = serde_json::from_str(text)
        .map_err(|error| damaged(format!("line {} is not as it was written", error.line())))?;
    let key = KeyPair::from_pem(&stored.key).map_err(|error| damaged(error.to_string()))?;
    Ok((stored, key))
}

/// All of an authority but its key and its time.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let loopback = [
        CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8),
        CidrSubnet::from_v6_prefix(std::net::Ipv6Addr::LOCALHOST.octets(), 128),
    ];
    let domains = DOMAINS.iter().map(|domain| GeneralSubtree::DnsName((*domain).to_owned()));
    let addresses = loopback.map(GeneralSubtree::IpAddress);
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: domains.chain(addresses).collect(),
        excluded_subtrees: Vec::new(),
    });
    params
}

pub(super) fn after_days(time: Timestamp, days: i64) -> Timestamp {
    time.saturating_add((days * 24).hours()).unwrap_or(time)
}

/// Sets from when and until when a certificate holds, in whole days.
fn set_life(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let date = |time: Timestamp| {
        let date = time.to_zoned_datetime(TimeZone::UTC).date();
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        date_time_ymd(date.year().into(), month, day)
    };
    // Clocks differ.
    params.not_before = date(after_days(now, -1));
    params.not_after = date(after_days(now, days));
}

/// Puts a file in place as a whole, so that a crash leaves the old one or the new one.
fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), AuthorityError> {
    let fresh = path.with_extension("new");
    // One that a crash left may have another mode.
    drop(fs::remove_file(&fresh));
    let written = || {
        let mut options = File::options();
        let mut file = options.write(true).create_new(true).mode(mode).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    written().map_err(failed("write", path))
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AuthorityError {
    let path = path.to_owned();
    move |source| AuthorityError::File { operation, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn certificate(directory: &Path, now: Timestamp) -> String {
        let authority = Authority::open(directory, "id", now).expect("an authority");
        fs::read_to_string(authority.certificate_file()).expect("its certificate")
    }

    #[test]
    fn an_authority_stays_the_same_until_its_last_year() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, now) = (directory.path(), Timestamp::UNIX_EPOCH + 20_000.hours());
        let first = certificate(path, now);
        assert_eq!(certificate(path, after_days(now, LIFE_DAYS - RENEW_DAYS - 1)), first);
        fs::remove_file(path.join("ca.pem")).expect("removed");
        assert_eq!(certificate(path, now), first, "the public file is written again");
        let later = certificate(path, after_days(now, LIFE_DAYS - RENEW_DAYS + 1));
        assert_ne!(later, first);
        assert_eq!(certificate(path, after_days(now, LIFE_DAYS)), later);
    }

    #[test]
    fn nobody_else_reads_the_key_and_what_a_crash_left_is_no_obstacle() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path();
        fs::write(path.join("authority.new"), "half").expect("written");
        certificate(path, Timestamp::UNIX_EPOCH);
        let mode = |name: &str| fs::metadata(path.join(name)).expect("a file").permissions().mode();
        assert_eq!(mode("authority.json") & 0o777, 0o600);
        assert_eq!(mode("ca.pem") & 0o777, 0o644);
        assert!(!path.join("authority.new").exists());
    }

    #[test]
    fn a_damaged_authority_is_told_and_never_replaced_in_silence() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("authority.json");
        fs::write(&path, r#"{"name":"x","key":"secret"#).expect("written");
        let error = Authority::open(directory.path(), "id", Timestamp::UNIX_EPOCH);
        let text = error.expect_err("refused").to_string();
        assert!(text.contains("hint: remove the file") && !text.contains("secret"), "{text}");
        assert!(path.exists());
    }
}
