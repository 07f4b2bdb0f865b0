//! Where days, weeks and months begin, in a time zone.
//!
//! Called by the policy service, for limits, and by the usage and billing tools. The zones are those of the time zone
//! database that is built in, so the system's own, or its absence, never matters.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use shared::model::Timestamp;

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// The text names no time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a time zone, such as Europe/Berlin")]
pub struct UnknownZone;

impl Zone {
    /// Coordinated universal time.
    #[must_use]
    pub const fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The name in the time zone database.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;
    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| UnknownZone)?;
        // `Etc/Unknown` is a name that stands for the lack of one.
        if zone.is_unknown() { Err(UnknownZone) } else { Ok(Self(zone)) }
    }
}

/// The first moment of the day.
#[must_use]
pub fn day_start(now: Timestamp, zone: &Zone) -> Timestamp {
    start(date(now, zone), zone)
}

/// The first moment of the next day; always later than `now`.
#[must_use]
pub fn day_end(now: Timestamp, zone: &Zone) -> Timestamp {
    end(date(now, zone).tomorrow(), now, zone)
}

/// The first moment of the week's Monday.
#[must_use]
pub fn week_start(now: Timestamp, zone: &Zone) -> Timestamp {
    let today = date(now, zone);
    let since_monday = jiff::Span::new().days(today.weekday().to_monday_zero_offset());
    start(today.checked_sub(since_monday).unwrap_or(Date::MIN), zone)
}

/// The first moment of the month.
#[must_use]
pub fn month_start(now: Timestamp, zone: &Zone) -> Timestamp {
    start(date(now, zone).first_of_month(), zone)
}

/// The first moment of the next month; always later than `now`.
#[must_use]
pub fn month_end(now: Timestamp, zone: &Zone) -> Timestamp {
    end(date(now, zone).last_of_month().tomorrow(), now, zone)
}

fn date(now: Timestamp, zone: &Zone) -> Date {
    let nearest = if now.as_millis() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    zone.0.to_datetime(jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or(nearest)).date()
}

/// Where a clock change skips midnight, or the whole day, a day begins after it.
fn start(date: Date, zone: &Zone) -> Timestamp {
    let start = zone.0.to_ambiguous_timestamp(date.into()).compatible();
    Timestamp::from_millis(start.unwrap_or(jiff::Timestamp::MIN).as_millisecond())
}

/// Where clocks are set back across midnight, the evening comes twice, and the day ends after the second one.
fn end(next: Result<Date, jiff::Error>, now: Timestamp, zone: &Zone) -> Timestamp {
    let midnight = next.map(|date| zone.0.to_ambiguous_timestamp(date.into()));
    let moments = midnight.and_then(|midnight| Ok([midnight.compatible()?, midnight.later()?]));
    let mut moments = moments.into_iter().flatten().map(|at| Timestamp::from_millis(at.as_millisecond()));
    moments.find(|at| *at > now).unwrap_or(Timestamp::from_millis(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[rstest]
    #[case::utc("UTC", "2026-11-22T20:46:50Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z")]
    #[case::first_moment("UTC", "2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z")]
    #[case::last_moment("UTC", "2026-11-22T23:59:59.999Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z")]
    #[case::day_of_23_hours(
        "Europe/Berlin",
        "2026-03-29T12:00:00Z",
        "2026-03-28T23:00:00Z",
        "2026-03-29T22:00:00Z"
    )]
    #[case::day_of_25_hours(
        "Europe/Berlin",
        "2026-10-25T12:00:00Z",
        "2026-10-24T22:00:00Z",
        "2026-10-25T23:00:00Z"
    )]
    #[case::half_hour("Asia/Kolkata", "2026-11-22T18:29:59Z", "2026-11-21T18:30:00Z", "2026-11-22T18:30:00Z")]
    #[case::quarter_hour(
        "Asia/Kathmandu",
        "2026-11-22T18:15:00Z",
        "2026-11-22T18:15:00Z",
        "2026-11-23T18:15:00Z"
    )]
    #[case::west_of_the_dateline(
        "Pacific/Kiritimati",
        "2026-11-22T10:00:00Z",
        "2026-11-22T10:00:00Z",
        "2026-11-23T10:00:00Z"
    )]
    #[case::east_of_the_dateline(
        "Pacific/Pago_Pago",
        "2026-11-22T10:00:00Z",
        "2026-11-21T11:00:00Z",
        "2026-11-22T11:00:00Z"
    )]
    #[case::midnight_is_skipped(
        "America/Santiago",
        "2026-09-06T12:00:00Z",
        "2026-09-06T04:00:00Z",
        "2026-09-07T03:00:00Z"
    )]
    #[case::midnight_comes_twice(
        "America/Havana",
        "2020-11-01T05:30:00Z",
        "2020-11-01T04:00:00Z",
        "2020-11-02T05:00:00Z"
    )]
    #[case::next_day_is_skipped(
        "Pacific/Apia",
        "2011-12-30T09:00:00Z",
        "2011-12-29T10:00:00Z",
        "2011-12-30T10:00:00Z"
    )]
    #[case::evening_comes_twice(
        "America/St_Johns",
        "2010-11-07T03:00:00Z",
        "2010-11-06T02:30:00Z",
        "2010-11-07T03:30:00Z"
    )]
    #[case::before_the_epoch("UTC", "1969-12-31T23:00:00Z", "1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z")]
    fn a_day_goes_by_the_zone(
        #[case] zone: Zone,
        #[case] now: Timestamp,
        #[case] start: Timestamp,
        #[case] end: Timestamp,
    ) {
        assert_eq!((day_start(now, &zone), day_end(now, &zone)), (start, end));
    }

    #[rstest]
    #[case::monday("UTC", "2026-11-16T00:00:00Z", "2026-11-16T00:00:00Z")]
    #[case::sunday("UTC", "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z")]
    #[case::sunday_here_and_monday_there("Asia/Tokyo", "2026-11-22T15:00:00Z", "2026-11-22T15:00:00Z")]
    #[case::over_the_new_year("UTC", "2027-01-01T12:00:00Z", "2026-12-28T00:00:00Z")]
    #[case::over_a_clock_change("Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-18T22:00:00Z")]
    fn a_week_begins_on_monday(#[case] zone: Zone, #[case] now: Timestamp, #[case] start: Timestamp) {
        assert_eq!(week_start(now, &zone), start);
    }

    #[rstest]
    #[case::utc("UTC", "2026-11-22T12:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")]
    #[case::december("UTC", "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")]
    #[case::leap_year("UTC", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z")]
    #[case::over_a_clock_change(
        "Europe/Berlin",
        "2026-10-10T12:00:00Z",
        "2026-09-30T22:00:00Z",
        "2026-10-31T23:00:00Z"
    )]
    #[case::already_the_next_there(
        "Pacific/Kiritimati",
        "2026-10-31T10:00:00Z",
        "2026-10-31T10:00:00Z",
        "2026-11-30T10:00:00Z"
    )]
    #[case::still_the_last_there(
        "Pacific/Pago_Pago",
        "2026-11-01T10:59:59Z",
        "2026-10-01T11:00:00Z",
        "2026-11-01T11:00:00Z"
    )]
    fn a_month_goes_by_the_zone(
        #[case] zone: Zone,
        #[case] now: Timestamp,
        #[case] start: Timestamp,
        #[case] end: Timestamp,
    ) {
        assert_eq!((month_start(now, &zone), month_end(now, &zone)), (start, end));
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_such_place("Europe/Atlantis")]
    #[case::offset("+01:00")]
    #[case::rule("CET-1CEST,M3.5.0,M10.5.0/3")]
    #[case::unknown("Etc/Unknown")]
    #[case::path("../Europe/Berlin")]
    fn only_a_name_of_the_database_is_a_zone(#[case] name: &str) {
        assert_eq!(name.parse::<Zone>(), Err(UnknownZone));
    }

    #[test]
    fn a_zone_knows_its_name() {
        let names = ["UTC", "europe/berlin"].map(|name| name.parse::<Zone>().unwrap().name().to_owned());
        assert_eq!(names, ["UTC", "Europe/Berlin"]);
        assert_eq!(Zone::utc().name(), "UTC");
    }

    #[rstest]
    #[case::before_all_dates(i64::MIN, "-009999-01-02T01:59:59Z", "-009999-01-03T00:00:00Z")]
    #[case::after_all_dates(i64::MAX - 1, "9999-12-30T00:00:00Z", "")]
    fn moments_beyond_all_calendars_have_a_day_too(#[case] now: i64, #[case] start: &str, #[case] end: &str) {
        let now = Timestamp::from_millis(now);
        let end = end.parse().unwrap_or(Timestamp::from_millis(i64::MAX));
        assert_eq!((day_start(now, &Zone::utc()), day_end(now, &Zone::utc())), (at(start), end));
    }

    fn zones() -> Vec<Zone> {
        let database = TimeZoneDatabase::bundled();
        database.available().filter_map(|name| name.as_str().parse().ok()).collect()
    }

    #[test]
    fn the_database_is_built_in() {
        assert!(zones().len() > 400, "{}", zones().len());
    }

    proptest! {
        #[test]
        fn now_is_always_within_its_day_week_and_month(
            zone in prop::sample::select(zones()),
            millis in -2_208_988_800_000i64..4_102_444_800_000,
        ) {
            let now = Timestamp::from_millis(millis);
            let (day, day_end) = (day_start(now, &zone), day_end(now, &zone));
            prop_assert!(day <= now && now < day_end);
            prop_assert!(month_start(now, &zone) <= day && day_end <= month_end(now, &zone));
            prop_assert!(week_start(now, &zone) <= day);
        }
    }
}
