//! What a message or a call is expected to cost, in USD.
//!
//! Called by the policy service, which reserves the amount before anything goes out. It is an estimate and rather too
//! high than too low; what the provider reports afterwards takes its place.

use std::collections::BTreeMap;
use std::str::FromStr;

use shared::model::{Channel, Micros, PhoneNumber};

/// For whatever no other row is about.
const ANYWHERE: &str = "*";
const EMAIL: Micros = Micros(400);
/// Speech in both directions, a minute.
const CONVERSATION: Micros = Micros(70_000);

/// Prices by the first digits of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prices {
    /// The prefix without its `+`; that of [`ANYWHERE`] is empty.
    rows: BTreeMap<String, Row>,
    email: Micros,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    country: String,
    /// A segment.
    sms: Micros,
    /// A message.
    mms: Micros,
    /// A message.
    whatsapp: Micros,
    /// A minute, outbound.
    voice: Micros,
}

/// The text sets no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no price, such as sms:44=0.05, voice:*=1.50 or email=0.001")]
pub struct InvalidPrice(pub String);

impl Prices {
    /// The table that is built in.
    #[must_use]
    pub fn builtin() -> Self {
        let lines = include_str!("cost/prices.csv").lines().filter(|line| !line.starts_with('#')).skip(1);
        let rows = lines.flat_map(|line| {
            let (prefixes, row) = parse_line(line).expect("a test reads the whole table");
            prefixes.into_iter().map(move |prefix| (prefix, row.clone()))
        });
        Self { rows: rows.collect(), email: EMAIL }
    }

    /// These prices, but for those that the texts set: `sms`, `mms`, `whatsapp` or `voice`, a colon and a prefix, or
    /// `email`; then `=` and the amount.
    pub fn with_overrides(mut self, items: &[String]) -> Result<Self, InvalidPrice> {
        for item in items {
            self.set(item).ok_or_else(|| InvalidPrice(item.clone()))?;
        }
        Ok(self)
    }

    fn set(&mut self, item: &str) -> Option<()> {
        let (name, amount) = item.split_once('=')?;
        let amount = Micros::from_str(amount.trim()).ok().filter(|amount| amount.0 >= 0)?;
        let name = name.trim();
        if name == "email" {
            self.email = amount;
            return Some(());
        }
        let (kind, prefix) = name.split_once(':')?;
        let prefix = parse_prefix(prefix)?;
        let likely = self.row(prefix).clone();
        let row = self.rows.entry(prefix.to_owned()).or_insert(likely);
        let price = match kind {
            "sms" => &mut row.sms,
            "mms" => &mut row.mms,
            "whatsapp" => &mut row.whatsapp,
            "voice" => &mut row.voice,
            _ => return None,
        };
        *price = amount;
        Some(())
    }

    /// The country by ISO 3166, or `ZZ` if the table does not know.
    #[must_use]
    pub fn country(&self, number: &PhoneNumber) -> &str {
        &self.row_of(number).country
    }

    /// A message; on the channel voice, a call of a minute. Where pictures are not carried, a link to them goes out
    /// in one more segment.
    #[must_use]
    pub fn text(&self, channel: Channel, to: &PhoneNumber, segments: i64, has_media: bool) -> Micros {
        let row = self.row_of(to);
        match channel {
            Channel::Sms if has_media => row.mms.max(times(row.sms, segments.saturating_add(1))),
            Channel::Sms => times(row.sms, segments),
            Channel::Whatsapp => row.whatsapp,
            Channel::Email => self.email,
            Channel::Voice => self.call(to, 60),
        }
    }

    /// An e-mail.
    #[must_use]
    pub fn email(&self) -> Micros {
        self.email
    }

    /// A call of ours that lasts this long at the most.
    #[must_use]
    pub fn call(&self, to: &PhoneNumber, seconds: i64) -> Micros {
        let a_minute = Micros(self.row_of(to).voice.0.saturating_add(CONVERSATION.0));
        times(a_minute, begun_minutes(seconds))
    }

    /// What hearing and speaking costs in a call that lasted this long, beside the line.
    #[must_use]
    pub fn speech(&self, seconds: i64) -> Micros {
        times(CONVERSATION, begun_minutes(seconds))
    }

    /// The second leg of a call that is put through to somebody for this long at the most.
    #[must_use]
    pub fn transfer(&self, to: &PhoneNumber, seconds: i64) -> Micros {
        times(self.row_of(to).voice, begun_minutes(seconds))
    }

    fn row_of(&self, number: &PhoneNumber) -> &Row {
        self.row(number.as_str().trim_start_matches('+'))
    }

    /// The row with the longest prefix of these digits.
    fn row(&self, digits: &str) -> &Row {
        let mut prefixes = (0..=digits.len()).rev().map(|length| &digits[..length]);
        prefixes.find_map(|prefix| self.rows.get(prefix)).expect("the empty prefix is in every table")
    }
}

/// What is charged for something that costs `cost`, rounded to the nearest millionth.
#[must_use]
pub fn with_markup(cost: Micros, percent: i64) -> Micros {
    let hundredfold = i128::from(cost.0) * (100 + i128::from(percent));
    let rounded = (hundredfold + 50).div_euclid(100);
    Micros(i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX }))
}

/// Several prefixes may share a line, with spaces between them.
fn parse_line(line: &str) -> Option<(Vec<String>, Row)> {
    let fields: Vec<_> = line.split(',').collect();
    let &[prefixes, country, sms, mms, whatsapp, voice] = fields.as_slice() else { return None };
    let prefixes = prefixes.split(' ').map(|prefix| parse_prefix(prefix).map(str::to_owned));
    let amount = |text: &str| text.parse().ok();
    let row = Row {
        country: country.to_owned(),
        sms: amount(sms)?,
        mms: amount(mms)?,
        whatsapp: amount(whatsapp)?,
        voice: amount(voice)?,
    };
    Some((prefixes.collect::<Option<_>>()?, row))
}

fn parse_prefix(text: &str) -> Option<&str> {
    if text == ANYWHERE {
        return Some("");
    }
    let is_prefix = (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_prefix.then_some(text)
}

fn begun_minutes(seconds: i64) -> i64 {
    seconds.max(0).saturating_add(59) / 60
}

fn times(price: Micros, count: i64) -> Micros {
    Micros(price.0.saturating_mul(count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn number(text: &str) -> PhoneNumber {
        text.parse().unwrap()
    }

    fn overridden(items: &[&str]) -> Result<Prices, InvalidPrice> {
        let items: Vec<_> = items.iter().map(|item| (*item).to_owned()).collect();
        Prices::builtin().with_overrides(&items)
    }

    #[test]
    fn every_line_of_the_table_has_a_country_and_prices_above_zero() {
        let is_sound = |row: &Row| {
            row.country.len() == 2
                && row.country.bytes().all(|b| b.is_ascii_uppercase())
                && [row.sms, row.mms, row.whatsapp, row.voice].iter().all(|price| price.0 > 0)
        };
        let prices = Prices::builtin();
        let unsound: Vec<_> = prices.rows.iter().filter(|(_, row)| !is_sound(row)).collect();
        assert_eq!(unsound, []);
    }

    #[test]
    fn no_prefix_stands_twice() {
        let lines = include_str!("cost/prices.csv").lines().skip(2);
        let prefixes: usize = lines.map(|line| parse_line(line).unwrap().0.len()).sum();
        assert_eq!(prefixes, Prices::builtin().rows.len());
    }

    #[test]
    fn the_table_says_when_and_that_it_estimates() {
        let comment = include_str!("cost/prices.csv").lines().next().unwrap();
        assert!(comment.starts_with("# November 2026, in USD. Estimates"), "{comment}");
    }

    #[test]
    fn nothing_is_dearer_than_what_the_table_does_not_know() {
        let prices = Prices::builtin();
        let dearest = &prices.rows[""];
        let is_dearer = |row: &Row| {
            row.sms > dearest.sms
                || row.mms > dearest.mms
                || row.whatsapp > dearest.whatsapp
                || row.voice > dearest.voice
        };
        let dearer: Vec<_> = prices.rows.iter().filter(|(_, row)| is_dearer(row)).collect();
        assert_eq!(dearer, []);
    }

    #[rstest]
    #[case::united_states("+12025550123", "US")]
    #[case::toronto("+14165550123", "CA")]
    #[case::toronto_overlay("+19425550123", "CA")]
    #[case::jamaica("+18765550123", "JM")]
    #[case::jamaica_overlay("+16585550123", "JM")]
    #[case::dominican_republic("+18295550123", "DO")]
    #[case::sint_maarten("+17215550123", "SX")]
    #[case::puerto_rico("+17875550123", "PR")]
    #[case::bermuda("+14415550123", "BM")]
    #[case::british("+442071838750", "GB")]
    #[case::isle_of_man("+447624123456", "IM")]
    #[case::germany("+4930123456", "DE")]
    #[case::russia("+74951234567", "RU")]
    #[case::kazakhstan("+77271234567", "KZ")]
    #[case::portugal("+351211234567", "PT")]
    #[case::satellite("+881612345678", "ZZ")]
    #[case::unassigned("+9991234567", "ZZ")]
    fn the_country_is_that_of_the_longest_prefix(#[case] to: &str, #[case] country: &str) {
        assert_eq!(Prices::builtin().country(&number(to)), country);
    }

    #[rstest]
    #[case::premium_in_north_america("+19005550123")]
    #[case::premium_in_britain("+449098790123")]
    #[case::premium_in_germany("+499001234567")]
    #[case::satellite("+881612345678")]
    fn a_call_to_a_dear_range_costs_the_most(#[case] to: &str) {
        let prices = Prices::builtin();
        assert_eq!(prices.transfer(&number(to), 60), prices.rows[""].voice);
    }

    #[rstest]
    #[case::one_segment(Channel::Sms, 1, false, 50_000)]
    #[case::nothing_to_say(Channel::Sms, 0, false, 0)]
    #[case::three_segments(Channel::Sms, 3, false, 150_000)]
    #[case::picture(Channel::Sms, 1, true, 200_000)]
    #[case::picture_alone(Channel::Sms, 0, true, 200_000)]
    #[case::picture_with_a_long_text(Channel::Sms, 5, true, 300_000)]
    #[case::whatsapp_has_no_segments(Channel::Whatsapp, 9, true, 70_000)]
    #[case::email(Channel::Email, 1, false, 400)]
    #[case::voice_is_a_minute(Channel::Voice, 1, false, 270_000)]
    #[case::as_much_as_can_be_said(Channel::Sms, i64::MAX, false, i64::MAX)]
    fn a_message_costs_by_its_channel(
        #[case] channel: Channel,
        #[case] segments: i64,
        #[case] has_media: bool,
        #[case] micros: i64,
    ) {
        let prices =
            overridden(&["sms:44=0.05", "mms:44=0.20", "whatsapp:44=0.07", "voice:44=0.20"]).unwrap();
        let to = number("+442071838750");
        assert_eq!(prices.text(channel, &to, segments, has_media), Micros(micros));
    }

    #[rstest]
    #[case::none(0, 0, 0)]
    #[case::never_less_than_none(-5, 0, 0)]
    #[case::a_second(1, 100_000, 170_000)]
    #[case::a_minute(60, 100_000, 170_000)]
    #[case::a_minute_and_a_second(61, 200_000, 340_000)]
    #[case::four_hours(14_400, 24_000_000, 40_800_000)]
    #[case::for_ever(i64::MAX, i64::MAX, i64::MAX)]
    fn begun_minutes_are_charged(#[case] seconds: i64, #[case] leg: i64, #[case] call: i64) {
        let prices = overridden(&["voice:1=0.10"]).unwrap();
        let to = number("+12025550123");
        assert_eq!((prices.transfer(&to, seconds), prices.call(&to, seconds)), (Micros(leg), Micros(call)));
    }

    #[test]
    fn an_email_costs_what_is_set_for_it() {
        let set = overridden(&["email=0.001"]).unwrap().email();
        assert_eq!((Prices::builtin().email(), set), (Micros(400), Micros(1_000)));
    }

    #[rstest]
    #[case::of_a_row("voice:44=0.05", "+442071838750", 50_000)]
    #[case::of_no_longer_prefix("voice:44=0.05", "+449098790123", 10_000_000)]
    #[case::of_a_new_prefix("voice:4420=0.03", "+442071838750", 30_000)]
    #[case::of_no_shorter_prefix("voice:4420=0.03", "+441211234567", 150_000)]
    #[case::of_anything_else("voice:*=1.50", "+881612345678", 1_500_000)]
    #[case::with_spaces_around(" voice:44 = 0.05 ", "+442071838750", 50_000)]
    fn a_price_is_overridden_for_its_prefix(#[case] item: &str, #[case] to: &str, #[case] micros: i64) {
        assert_eq!(overridden(&[item]).unwrap().transfer(&number(to), 60), Micros(micros));
    }

    #[test]
    fn a_new_prefix_keeps_the_other_prices_and_the_country() {
        let (builtin, set) = (Prices::builtin(), overridden(&["voice:4420=0.03"]).unwrap());
        let expected = Row { voice: Micros(30_000), ..builtin.rows["44"].clone() };
        assert_eq!(set.rows["4420"], expected);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::no_amount("sms:44")]
    #[case::no_prefix("sms=0.05")]
    #[case::empty_prefix("sms:=0.05")]
    #[case::with_plus("sms:+44=0.05")]
    #[case::negative("sms:44=-0.05")]
    #[case::not_decimal("sms:44=cheap")]
    #[case::too_fine("sms:44=0.0000001")]
    #[case::unknown_kind("fax:44=0.05")]
    #[case::email_with_prefix("email:44=0.05")]
    fn anything_else_sets_no_price(#[case] item: &str) {
        assert_eq!(overridden(&["sms:44=0.05", item]), Err(InvalidPrice(item.to_owned())));
    }

    #[rstest]
    #[case::none(7_900, 0, 7_900)]
    #[case::a_quarter(7_900, 25, 9_875)]
    #[case::half_up(1, 50, 2)]
    #[case::below_half(1, 49, 1)]
    #[case::sixfold(10_000_000, 500, 60_000_000)]
    #[case::half_up_below_zero(-1, 50, -1)]
    #[case::the_most_that_can_be_said(i64::MAX, 500, i64::MAX)]
    #[case::the_least_that_can_be_said(i64::MIN, 500, i64::MIN)]
    fn a_markup_is_rounded_to_the_nearest_millionth(
        #[case] cost: i64,
        #[case] percent: i64,
        #[case] charged: i64,
    ) {
        assert_eq!(with_markup(Micros(cost), percent), Micros(charged));
    }

    proptest! {
        #[test]
        fn every_number_has_a_price_and_a_longer_call_never_costs_less(
            digits in "[1-9][0-9]{6,14}",
            seconds in 0i64..20_000,
        ) {
            let (prices, to) = (Prices::builtin(), number(&format!("+{digits}")));
            prop_assert!(prices.text(Channel::Sms, &to, 1, false) > Micros(0));
            prop_assert!(prices.call(&to, seconds) <= prices.call(&to, seconds + 1));
            prop_assert!(prices.transfer(&to, seconds) <= prices.call(&to, seconds));
        }
    }
}
