//! The outline of an iCalendar text: its content lines with their numbers, and which of them make
//! up each event (RFC 5545, sections 3.1 and 3.4). What the values mean is not looked at.

use super::Unreadable;

/// One event of the text: where it begins, and its properties.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EventLines {
    /// The number of its first line.
    pub(super) line: usize,
    /// Names of properties in capitals, and the numbers of their lines.
    properties: Vec<(String, usize)>,
}

impl EventLines {
    /// The line of a property, or the event's first where it has none.
    pub(super) fn line_of(&self, property: &str) -> usize {
        let found = self.properties.iter().find(|(name, _)| name == property);
        found.map_or(self.line, |(_, line)| *line)
    }
}

/// A component that has begun.
struct Open {
    name: String,
    line: usize,
}

/// The events of a text, in its order.
pub(super) fn events(text: &str) -> Result<Vec<EventLines>, Unreadable> {
    let mut events: Vec<EventLines> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut last = 1;
    for (line, content) in unfolded(text)? {
        last = line;
        let Some((name, value)) = parts(&content) else {
            return Err(Unreadable::at(line, "this is no line of iCalendar, as in `NAME:value`")
                .hint("export the calendar again as iCalendar (`.ics`)"));
        };
        let component = value.trim().to_ascii_uppercase();
        match name.as_str() {
            "BEGIN" => {
                if open.is_empty() && component != "VCALENDAR" {
                    return Err(no_calendar(line));
                }
                if component == "VEVENT" {
                    events.push(EventLines { line, properties: Vec::new() });
                }
                open.push(Open { name: component, line });
            }
            "END" => match open.pop() {
                Some(begun) if begun.name == component => {}
                Some(begun) => {
                    let message = format!(
                        "`END:{component}` stands where `{}` of line {} ends",
                        begun.name, begun.line
                    );
                    return Err(Unreadable::at(line, message).hint("export the calendar again"));
                }
                None => {
                    let message = format!("`END:{component}` ends nothing");
                    return Err(Unreadable::at(line, message).hint("export the calendar again"));
                }
            },
            _ if open.is_empty() => return Err(no_calendar(line)),
            _ if open.last().is_some_and(|open| open.name == "VEVENT") => {
                if let Some(event) = events.last_mut() {
                    event.properties.push((name, line));
                }
            }
            _ => {}
        }
    }
    match open.last() {
        Some(Open { name, line }) => {
            let message = format!("the text ends inside of `{name}`, which begins on line {line}");
            Err(Unreadable::at(last, message)
                .hint("the file was cut off: export or download it again"))
        }
        None if text.trim().is_empty() => Err(no_calendar(1)),
        None => Ok(events),
    }
}

fn no_calendar(line: usize) -> Unreadable {
    Unreadable::at(line, "this is no iCalendar text: it does not begin with `BEGIN:VCALENDAR`")
        .hint("name the calendar's iCalendar file or address (`.ics`), not its page")
}

/// The content lines with their numbers; a line that begins with a blank goes on with the one
/// before.
fn unfolded(text: &str) -> Result<Vec<(usize, String)>, Unreadable> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        if let Some(rest) = line.strip_prefix([' ', '\t']) {
            match lines.last_mut() {
                Some((_, content)) => content.push_str(rest),
                None if rest.trim().is_empty() => {}
                None => return Err(no_calendar(number)),
            }
        } else if !line.trim().is_empty() {
            lines.push((number, line.trim_end().to_owned()));
        }
    }
    Ok(lines)
}

/// The name, in capitals, and the value behind its parameters.
fn parts(content: &str) -> Option<(String, &str)> {
    let end = content.find([';', ':'])?;
    let (name, rest) = content.split_at_checked(end)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    // a parameter's value in quotes may hold the colon that otherwise begins the value
    let mut is_quoted = false;
    let colon = rest.char_indices().find(|(_, character)| {
        is_quoted ^= *character == '"';
        *character == ':' && !is_quoted
    });
    let (at, _) = colon?;
    Some((name.to_ascii_uppercase(), rest.get(at + 1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_knows_the_lines_of_its_properties_also_behind_folded_ones() {
        let text = "\u{feff}BEGIN:VCALENDAR\r\nX-NOTE;X=\"a:b\":long\r\n er\r\nBEGIN:VEVENT\r\nSUMMARY:one\r\n two\r\nDTSTART:20261201T100000Z\r\nBEGIN:VALARM\r\nTRIGGER:-PT5M\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let events = events(text).expect("sound");
        let event = events.first().expect("one event");
        assert_eq!((events.len(), event.line), (1, 4));
        assert_eq!([event.line_of("DTSTART"), event.line_of("TRIGGER")], [7, 4]);
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_told_with_its_line() {
        let told = |text: &str| events(text).expect_err("not sound").to_string();
        insta::assert_snapshot!(told("<!doctype html>\n<p>log in</p>"), @"line 1: this is no line of iCalendar, as in `NAME:value`");
        insta::assert_snapshot!(told("\n \nNAME:value\n"), @"line 3: this is no iCalendar text: it does not begin with `BEGIN:VCALENDAR`");
        insta::assert_snapshot!(told(""), @"line 1: this is no iCalendar text: it does not begin with `BEGIN:VCALENDAR`");
        insta::assert_snapshot!(told("BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:x\n"), @"line 3: the text ends inside of `VEVENT`, which begins on line 2");
        insta::assert_snapshot!(told("BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR\n"), @"line 3: `END:VCALENDAR` stands where `VEVENT` of line 2 ends");
        insta::assert_snapshot!(told("BEGIN:VCALENDAR\nEND:VCALENDAR\nEND:VEVENT\n"), @"line 3: `END:VEVENT` ends nothing");
        insta::assert_snapshot!(told("BEGIN:VCALENDAR\nSUMMARY\nEND:VCALENDAR\n"), @"line 2: this is no line of iCalendar, as in `NAME:value`");
    }
}
