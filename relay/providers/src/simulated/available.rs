//! The numbers that the simulated carrier sells: from ranges that are kept for fiction, so that nobody has them.

use shared::model::PhoneNumber;

/// `+1 AAA 555 01NN`: <https://nationalnanpa.com/number_resource_info/555_numbers.html>.
const FICTION: &str = "55501";
const US: &str = "212 415 312 512 617 206 305 404 702 303";
const CANADA_FIRST: &str = "416 604 514 403 613 902";
const CANADA: &str = "204 226 236 249 250 257 263 289 306 343 354 365 367 368 382 403 416 418 428 431 437 438 450 \
    468 474 506 514 519 548 579 581 584 587 604 613 639 647 672 683 705 709 742 753 778 780 782 807 819 825 867 \
    873 879 902 905 942";
/// Area codes of other countries and territories, and those that are no place.
const ELSEWHERE: &str = "242 246 264 268 284 340 345 441 473 500 555 600 649 658 664 670 671 684 700 710 721 758 767 \
    784 787 800 809 829 833 844 849 855 866 868 869 876 877 888 900 939";

/// A range outside North America: every number that begins so and has `digits` more.
struct Range {
    country: &'static str,
    calling_code: &'static str,
    national: &'static str,
    digits: usize,
}

#[rustfmt::skip]
const RANGES: &[Range] = &[
    // https://www.ofcom.org.uk/phones-and-broadband/phone-numbers/numbers-for-drama
    Range { country: "GB", calling_code: "+44", national: "2079460", digits: 3 },
    Range { country: "GB", calling_code: "+44", national: "7700900", digits: 3 },
    // https://www.acma.gov.au/phone-numbers-use-tv-shows-films-and-creative-works
    Range { country: "AU", calling_code: "+61", national: "25550", digits: 4 },
    // Bundesnetzagentur, Mitteilung 148/2021.
    Range { country: "DE", calling_code: "+49", national: "3023125", digits: 3 },
    // ARCEP, décision 2018-0881.
    Range { country: "FR", calling_code: "+33", national: "19900", digits: 4 },
];

/// Everything that is sold in a country, or in one of its areas. `None`: nothing is sold there at all.
pub(super) fn offers(country: &str, area_code: Option<&str>) -> Option<Vec<PhoneNumber>> {
    match country {
        "US" => Some(north_american(country, area_code, US)),
        "CA" => Some(north_american(country, area_code, CANADA_FIRST)),
        _ => {
            let ranges: Vec<&Range> = RANGES.iter().filter(|range| range.country == country).collect();
            let is_there = |range: &&Range| area_code.is_none_or(|code| range.national.starts_with(code));
            let numbers = ranges.iter().copied().filter(is_there).flat_map(Range::numbers).collect();
            (!ranges.is_empty()).then_some(numbers)
        }
    }
}

/// Whether [`offers`] has the number, in some country.
pub(super) fn is_sold(number: &PhoneNumber) -> bool {
    let north_american = number.as_str().strip_prefix("+1").and_then(|national| national.split_at_checked(3));
    north_american.is_some_and(|(code, rest)| {
        country_of(code).is_some() && rest.len() == 7 && rest.starts_with(FICTION)
    }) || RANGES.iter().any(|range| range.has(number))
}

fn north_american(country: &str, area_code: Option<&str>, usual: &str) -> Vec<PhoneNumber> {
    let codes: Vec<&str> = match area_code {
        Some(code) => Some(code).filter(|code| country_of(code) == Some(country)).into_iter().collect(),
        None => usual.split(' ').collect(),
    };
    (0..100).flat_map(|n| codes.iter().map(move |code| number(&format!("+1{code}{FICTION}{n:02}")))).collect()
}

fn country_of(code: &str) -> Option<&'static str> {
    let [first, second, third] = code.as_bytes() else { return None };
    let is_code = (b'2'..=b'9').contains(first)
        && (b'0'..=b'8').contains(second)
        && third.is_ascii_digit()
        && !code.ends_with("11");
    let is_in = |list: &str| list.split_ascii_whitespace().any(|other| other == code);
    match is_code && !is_in(ELSEWHERE) {
        true if is_in(CANADA) => Some("CA"),
        true => Some("US"),
        false => None,
    }
}

impl Range {
    fn numbers(&self) -> impl Iterator<Item = PhoneNumber> {
        let Self { calling_code, national, digits, .. } = self;
        // A hundred of a range are more than anybody buys.
        (0..100).map(move |n| number(&format!("{calling_code}{national}{n:0digits$}")))
    }

    fn has(&self, number: &PhoneNumber) -> bool {
        let national = number.as_str().strip_prefix(self.calling_code);
        let rest = national.and_then(|national| national.strip_prefix(self.national));
        rest.is_some_and(|rest| rest.len() == self.digits)
    }
}

fn number(text: &str) -> PhoneNumber {
    text.parse().expect("a plus and nine to twelve digits are a phone number")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("US", None, "+12125550100")]
    #[case("US", Some("907"), "+19075550100")]
    #[case("CA", None, "+14165550100")]
    #[case("CA", Some("867"), "+18675550100")]
    #[case("GB", None, "+442079460000")]
    #[case("GB", Some("7700"), "+447700900000")]
    #[case("AU", None, "+61255500000")]
    #[case("DE", Some("30"), "+493023125000")]
    #[case("FR", None, "+33199000000")]
    fn fictional_numbers_are_sold(
        #[case] country: &str,
        #[case] area_code: Option<&str>,
        #[case] first: PhoneNumber,
    ) {
        let offers = offers(country, area_code).unwrap();
        assert_eq!(offers[0], first);
        assert_eq!(offers.iter().find(|offer| !is_sold(offer)), None);
    }

    #[rstest]
    #[case("US", "416")]
    #[case("US", "876")]
    #[case("US", "800")]
    #[case("US", "911")]
    #[case("US", "555")]
    #[case("US", "99")]
    #[case("CA", "212")]
    #[case("GB", "415")]
    fn an_area_that_is_not_the_countrys_has_none(#[case] country: &str, #[case] area_code: &str) {
        assert_eq!(offers(country, Some(area_code)), Some(Vec::new()));
    }

    #[rstest]
    #[case("+14155550200")]
    #[case("+18005550100")]
    #[case("+1415555010")]
    #[case("+442079461000")]
    #[case("+4420794600")]
    #[case("+15558675310")]
    fn a_number_that_somebody_may_have_is_not_sold(#[case] number: PhoneNumber) {
        assert!(!is_sold(&number));
    }

    #[test]
    fn a_country_that_is_not_known_has_none() {
        assert_eq!(offers("XX", None), None);
    }
}
