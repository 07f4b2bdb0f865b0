//! One line per figure, on stdout.

use std::fmt;

/// One figure: the product's, and the bare limit's where there is one.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) product: f64,
    pub(crate) bare: Option<f64>,
    /// What the figure should be.
    pub(crate) aim: &'static str,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<52} {:>12} ", self.name, number(self.product))?;
        match self.bare {
            Some(bare) => write!(f, "{:>12} {:>6.2}", number(bare), self.product / bare)?,
            None => write!(f, "{:>12} {:>6}", "-", "-")?,
        }
        write!(f, "  {:<6} {}", self.unit, self.aim)
    }
}

pub(crate) fn head() {
    line(&format!(
        "{:<52} {:>12} {:>12} {:>6}  {:<6} aim",
        "figure", "product", "bare limit", "ratio", "unit"
    ));
}

pub(crate) fn figure(figure: &Figure) {
    line(&figure.to_string());
}

#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
fn line(text: &str) {
    println!("{text}");
}

fn number(value: f64) -> String {
    let decimals = if value >= 1000.0 { 0 } else { 2 };
    format!("{value:.decimals$}")
}
