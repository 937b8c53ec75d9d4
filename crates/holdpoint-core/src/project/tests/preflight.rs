//! What pre-flight is told: runbooks, drills, allowances and waivers.

use insta::assert_snapshot;

use super::*;

#[test]
fn every_setting_of_pre_flight_is_optional() {
    assert_eq!(told_after_least(""), "");
    assert_eq!(told_after_least("[preflight]\n"), "");
}

#[test]
fn a_waiver_names_a_person_with_a_role_that_may_a_reason_and_an_end() {
    let right = "[[preflight.waivers]]\ncheck = \"drill\"\nperson = \"ada\"\nrole = \"manager\"\n\
                 reason = \"it is planned\"\nuntil = 2026-12-01T09:00:00\n";
    assert_eq!(told_after_least(right), "");
    let without_reason = right.replace("reason = \"it is planned\"\n", "");
    let without_end = right.replace("until = 2026-12-01T09:00:00\n", "");
    let rest = [
        right.replace("drill", "dril"),
        right.replace("drill", "app:shop"),
        right.replace("\"ada\"", "\"eve\""),
        right.replace("manager", "reliability"),
        right.replace("manager", "engineer"),
        right.replace("2026-12-01T09:00:00", "\"soon\""),
        without_reason,
        without_end,
    ];
    assert_snapshot!(told_after_least(&rest.join("\n")));
}

#[test]
fn an_allowance_names_one_thing_and_says_why() {
    let rest = "[[preflight.allowed]]\nfield = \"vm\"\nsecret = \"KEY\"\nreason = \"both\"\n\
                [[preflight.allowed]]\nreason = \"nothing\"\n\
                [[preflight.allowed]]\nfield = \"vm\"\n\
                [[preflight.allowed]]\nservice = \"apy\"\nfield = \"vm\"\nreason = \"it is small\"\n\
                [[preflight.runbooks]]\nreviewed_within_days = 0\n";
    assert_snapshot!(told_after_least(rest));
}

#[test]
fn an_allowance_covers_its_field_and_what_is_below_it() {
    let text = format!(
        "{}[[preflight.allowed]]\nservice = \"api\"\nfield = \"http_service.checks\"\n\
         reason = \"it is slow\"\n",
        LEAST.trim_start()
    );
    let policy = parse(&text).0.unwrap().preflight;
    for field in ["http_service.checks", "http_service.checks.path", "http_service.checks[1].path"]
    {
        assert_eq!(policy.allows_field("api", field), Some("it is slow"), "{field}");
    }
    assert_eq!(policy.allows_field("api", "http_service.checks_too"), None);
    assert_eq!(policy.allows_field("other", "http_service.checks"), None);
}

#[test]
fn what_is_asked_of_others_has_an_address_and_no_password() {
    let rest = "[preflight.ci]\nrepository = \"shop\"\n\
                [[preflight.databases]]\nname = \"a\"\nurl = \"postgres://shop:open-sesame@db/shop\"\n\
                [[preflight.databases]]\nname = \"b\"\nurl = \"mysql://db/shop\"\n\
                [[preflight.databases]]\nname = \"c\"\n\
                [[preflight.model_apis]]\nname = \"m\"\nbase_url = \"https://key@api\"\nstyle = \"opnai\"\n\
                [[preflight.reachable]]\nname = \"r\"\naddress = \"tcp://mail\"\n";
    let told = told_after_least(rest);
    assert!(!told.contains("open-sesame"), "{told}");
    assert_snapshot!(told);
    assert_eq!(told_after_least("[preflight.ci]\ncommand = [\"scripts/ci\", \"{commit}\"]\n"), "");
}
