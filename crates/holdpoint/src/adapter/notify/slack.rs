//! A message as Slack's Block Kit has it. Slack cuts or refuses what is too long, so the limits
//! of its reference are kept here.

use holdpoint_core::effect::{Notice, NoticeKind};
use serde_json::{Value, json};

/// The longest text of a section, in characters (Block Kit reference, "section").
const TEXT_MAX: usize = 3000;
/// The longest text of a field, in characters.
const FIELD_MAX: usize = 2000;
/// The most fields of a section.
const FIELDS_MAX: usize = 10;

/// The body of a call to an incoming webhook. `text` is what notifications and screen readers show.
pub(super) fn payload(notice: &Notice) -> Value {
    let text = escaped(&notice.text);
    let mut blocks = vec![json!({
        "type": "section",
        "text": {"type": "mrkdwn", "text": cut(&format!("{} *{text}*", mark(notice.kind)), TEXT_MAX)},
    })];
    if !notice.facts.is_empty() {
        let fields = notice.facts.iter().take(FIELDS_MAX).map(|fact| {
            let text = format!("*{}*\n{}", escaped(&fact.name), escaped(&fact.value));
            json!({"type": "mrkdwn", "text": cut(&text, FIELD_MAX)})
        });
        blocks.push(json!({"type": "section", "fields": fields.collect::<Vec<_>>()}));
    }
    let about = &notice.about;
    let mut context = vec![escaped(&about.title), notice.kind.as_str().to_owned()];
    context.extend(about.release.map(|release| release.to_string()));
    context.extend(about.incident.map(|incident| incident.to_string()));
    context.extend(about.environment.map(|environment| environment.to_string()));
    let at = notice.at;
    // Slack shows the time in each reader's own zone; the text behind the bar is for the others
    context.push(format!("<!date^{}^{{date_short_pretty}} {{time_secs}}|{at}>", at.as_second()));
    let context = context.join("  ·  ");
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": context}]}));
    json!({"text": cut(&escaped(&notice.to_string()), TEXT_MAX), "blocks": blocks})
}

/// How urgent it is, at a glance.
fn mark(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Announcement => ":mega:",
        NoticeKind::Update => ":arrow_forward:",
        NoticeKind::ApprovalWanted => ":raised_hand:",
        NoticeKind::Hold => ":double_vertical_bar:",
        NoticeKind::Complete => ":white_check_mark:",
        NoticeKind::Rollback => ":rewind:",
        NoticeKind::Incident => ":rotating_light:",
        NoticeKind::Escalation => ":telephone_receiver:",
        NoticeKind::Delivery => ":mute:",
    }
}

/// Slack's three control characters; without this a text could mention a whole channel.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(characters.saturating_sub(1)).collect();
    format!("{kept}…")
}
