//! What is being done, and how far it is, on a terminal; nothing in a pipe.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A bar of `total` steps on standard error.
pub fn bar(what: &str, total: u64) -> ProgressBar {
    let style = "{prefix} [{bar:32}] {pos}/{len}  {elapsed} gone, {eta} left";
    let style = ProgressStyle::with_template(style).expect("a valid template");
    // indicatif draws nothing if standard error is not a terminal.
    let bar = ProgressBar::new(total).with_style(style).with_prefix(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A spinner with a message and how long that has been said, on standard error.
/// What is printed meanwhile has to be printed in its `suspend`.
pub fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}");
    let spinner = ProgressBar::new_spinner().with_style(style.expect("a valid template"));
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}

/// Says on `spinner` what is done from now on.
pub fn step(spinner: &ProgressBar, what: impl Into<String>) {
    spinner.reset_elapsed();
    spinner.set_message(what.into());
}
