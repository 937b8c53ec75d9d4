//! The one user of the platform and the organizations that its apps name, as clients expect to
//! find them. There are no accounts here: whoever has the token is this user.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{error::Refusal, fleet::Fleet};

/// Who deploys here. The domain exists nowhere.
pub(super) const USER_EMAIL: &str = "local@holdpoint.invalid";
pub(super) const USER_NAME: &str = "Local user";
pub(super) const USER_ID: &str = "local";

/// The organization that is always there.
const PERSONAL: &str = "personal";

/// The slugs of all organizations: the personal one and those of the apps.
pub(super) fn organizations(fleet: &Fleet) -> BTreeSet<String> {
    let of_apps = fleet.apps().into_iter().map(|app| app.organization);
    std::iter::once(PERSONAL.to_owned()).chain(of_apps).collect()
}

pub(super) fn check_organization(fleet: &Fleet, slug: &str) -> Result<(), Refusal> {
    if organizations(fleet).contains(slug) {
        return Ok(());
    }
    Err(Refusal::not_found(format!(
        "there is no organization `{slug}`\nhint: use `personal`, or create an app in `{slug}` first"
    )))
}

/// A number that stands for a name: the same one each time. Clients read it into 32 bits.
pub(super) fn numeric_id(name: &str) -> u32 {
    let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let [first, second, third, fourth, ..] = digest;
    u32::from_be_bytes([first, second, third, fourth]) >> 1
}

/// An organization as the routes under `/api/v1` show it.
pub(super) fn organization(slug: &str) -> Value {
    json!({
        "id": slug,
        "internal_numeric_id": numeric_id(slug),
        "slug": slug,
        "raw_slug": slug,
        "name": slug,
        "personal": slug == PERSONAL,
        "paid_plan": true,
        "billable": true,
        "billing_status": "CURRENT",
        "provisions_beta_extensions": false,
        "remote_builder_image": "",
    })
}
