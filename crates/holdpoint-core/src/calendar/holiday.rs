//! Public holidays by rule: which name a local date bears. It knows the eleven
//! of the United States' federal government (5 U.S.C. 6103) and no others.

use jiff::civil::{Date, Weekday};

/// The federal holiday that closes this date: the day itself, and, where that
/// falls on a weekend, also the Friday before or the Monday after, on which it
/// is observed.
pub(crate) fn us_federal(date: Date) -> Option<&'static str> {
    let year = date.year();
    // New Year's Day may be observed on the last day of the year before.
    [year, year.saturating_add(1)]
        .into_iter()
        .flat_map(us_federal_of_year)
        .find(|(_, day)| *day == date || observed(*day) == Some(date))
        .map(|(name, _)| name)
}

/// The year's holidays, on the days whose name they bear.
fn us_federal_of_year(year: i16) -> impl Iterator<Item = (&'static str, Date)> {
    let fixed = move |month, day| Date::new(year, month, day).ok();
    let nth = move |month, nth, weekday| {
        fixed(month, 1).and_then(|first| first.nth_weekday_of_month(nth, weekday).ok())
    };
    [
        ("New Year's Day", fixed(1, 1)),
        ("Martin Luther King Jr. Day", nth(1, 3, Weekday::Monday)),
        ("Washington's Birthday", nth(2, 3, Weekday::Monday)),
        ("Memorial Day", nth(5, -1, Weekday::Monday)),
        ("Juneteenth", fixed(6, 19)),
        ("Independence Day", fixed(7, 4)),
        ("Labor Day", nth(9, 1, Weekday::Monday)),
        ("Columbus Day", nth(10, 2, Weekday::Monday)),
        ("Veterans Day", fixed(11, 11)),
        ("Thanksgiving Day", nth(11, 4, Weekday::Thursday)),
        ("Christmas Day", fixed(12, 25)),
    ]
    .into_iter()
    .filter_map(|(name, date)| Some((name, date?)))
}

/// The working day on which a holiday on a weekend is observed.
fn observed(day: Date) -> Option<Date> {
    match day.weekday() {
        Weekday::Saturday => day.yesterday().ok(),
        Weekday::Sunday => day.tomorrow().ok(),
        Weekday::Monday
        | Weekday::Tuesday
        | Weekday::Wednesday
        | Weekday::Thursday
        | Weekday::Friday => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use jiff::civil::date;

    use super::*;

    /// Every closed date from 2026 into 2029, written out by hand: the day that bears the name,
    /// and the Friday or Monday on which it is observed.
    pub(crate) const CLOSED: [(i16, i8, i8, &str); 43] = [
        (2026, 1, 1, "New Year's Day"),
        (2026, 1, 19, "Martin Luther King Jr. Day"),
        (2026, 2, 16, "Washington's Birthday"),
        (2026, 5, 25, "Memorial Day"),
        (2026, 6, 19, "Juneteenth"),
        (2026, 7, 3, "Independence Day"),
        (2026, 7, 4, "Independence Day"),
        (2026, 9, 7, "Labor Day"),
        (2026, 10, 12, "Columbus Day"),
        (2026, 11, 11, "Veterans Day"),
        (2026, 11, 26, "Thanksgiving Day"),
        (2026, 12, 25, "Christmas Day"),
        (2027, 1, 1, "New Year's Day"),
        (2027, 1, 18, "Martin Luther King Jr. Day"),
        (2027, 2, 15, "Washington's Birthday"),
        (2027, 5, 31, "Memorial Day"),
        (2027, 6, 18, "Juneteenth"),
        (2027, 6, 19, "Juneteenth"),
        (2027, 7, 4, "Independence Day"),
        (2027, 7, 5, "Independence Day"),
        (2027, 9, 6, "Labor Day"),
        (2027, 10, 11, "Columbus Day"),
        (2027, 11, 11, "Veterans Day"),
        (2027, 11, 25, "Thanksgiving Day"),
        (2027, 12, 24, "Christmas Day"),
        (2027, 12, 25, "Christmas Day"),
        (2027, 12, 31, "New Year's Day"),
        (2028, 1, 1, "New Year's Day"),
        (2028, 1, 17, "Martin Luther King Jr. Day"),
        (2028, 2, 21, "Washington's Birthday"),
        (2028, 5, 29, "Memorial Day"),
        (2028, 6, 19, "Juneteenth"),
        (2028, 7, 4, "Independence Day"),
        (2028, 9, 4, "Labor Day"),
        (2028, 10, 9, "Columbus Day"),
        (2028, 11, 10, "Veterans Day"),
        (2028, 11, 11, "Veterans Day"),
        (2028, 11, 23, "Thanksgiving Day"),
        (2028, 12, 25, "Christmas Day"),
        (2029, 1, 1, "New Year's Day"),
        (2029, 1, 15, "Martin Luther King Jr. Day"),
        (2029, 2, 19, "Washington's Birthday"),
        (2029, 5, 28, "Memorial Day"),
    ];

    #[test]
    fn closes_exactly_the_published_dates() {
        let mut day = date(2026, 1, 1);
        let mut closed = Vec::new();
        while day < date(2029, 6, 1) {
            if let Some(name) = us_federal(day) {
                closed.push((day.year(), day.month(), day.day(), name));
            }
            day = day.tomorrow().unwrap();
        }
        assert_eq!(closed, CLOSED);
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        assert_eq!(us_federal(Date::MIN), Some("New Year's Day"));
        assert_eq!(us_federal(Date::MAX), None);
    }
}
