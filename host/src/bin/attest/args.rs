//! What can be typed, one file a command. Types only: nothing is opened, resolved
//! or computed here.

mod ask;
mod bench;
mod challenge;
mod checks;
mod dashboard;
mod demo;
mod detect;
mod device_report;
mod doctor;
mod export;
mod fleet;
mod gpus;
mod inspect;
mod key;
mod ledger;
mod machine_report;
mod man;
mod parse;
mod place;
mod policy;
mod report;
mod respond;
mod run;
mod schema;
mod selftest;
mod validate;
mod vendor;
mod verify;

pub use ask::{Ask, Kind};
pub use bench::Bench;
pub use challenge::Challenge;
pub use checks::{Arrival, Checks, Recomputer};
pub use dashboard::Dashboard;
pub use demo::Demo;
pub use detect::Detect;
pub use device_report::{DeviceReport, DeviceReportAction, VerifyReport};
pub use doctor::Doctor;
pub use export::Export;
pub use fleet::{Agent, Fleet, FleetAction, FleetChallenge, FleetLook, FleetRun, FleetShow, Nats};
pub use gpus::{Answering, Gpus};
pub use inspect::Inspect;
pub use key::{Key, KeyAction};
pub use ledger::{Action as LedgerAction, Ledger, State as LedgerState};
pub use machine_report::{MachineReport, MachineReportAction, VerifyQuote};
pub use man::Man;
pub use place::{LedgerPlace, check as check_place};
pub use policy::{Policy, PolicyAction, PolicyCheck, PolicyInit, PolicyModels, Sizing};
pub use report::{ROUNDS_MAX, Report};
pub use respond::Respond;
pub use run::{Executor, Run};
pub use schema::{Schema, SchemaDocument};
pub use selftest::Selftest;
pub use validate::Validate;
pub use vendor::{Makers, Vendor};
pub use verify::Verify;

use clap::{Parser, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// Exit codes, and what each means; docs/guide.md has the same table.
const EXIT_CODES: [(&str, &str); 5] = [
    ("0", "verified, healthy or done"),
    (
        "1",
        "rejected (verify, report, validate, respond, export --check, device-report, machine-report), not healthy (selftest) or something to mend (doctor)",
    ),
    (
        "2",
        "could not run: bad usage, unreadable input, standard output closed or full, an invalid token, no device, a kernel that failed (bench), nothing that could be checked (selftest), too few threads or descriptors, no verdict (verify, report, validate, respond), a challenge that expired before it was executed",
    ),
    ("77", "the NATS server refuses the key (agent, fleet)"),
    ("130, 143", "stopped by SIGINT, SIGTERM"),
];

const LOGGING: &str = "\
Logging: RUST_LOG=info says on standard error what matters to an operator, a line each;
RUST_LOG=attest=debug what else is done; --log-format json writes it for programs.";

/// Above the options that every command has.
const GLOBAL: &str = "Global options";

/// What stands below the options in `attest --help`.
fn after_help() -> String {
    let codes = EXIT_CODES
        .map(|(code, meaning)| crate::paint::wrapped(&format!("  {code:<10}{meaning}\n"), 12));
    format!("Exit codes:\n{}\n{LOGGING}", codes.concat())
}

/// Proves by computation which GPUs did how much work: a validator issues a
/// challenge, a miner executes it, the validator verifies the result by
/// recomputing a random sample of it, exactly, to the last bit.
#[derive(Debug, Parser)]
#[command(name = "attest", version, after_help = after_help())]
pub struct Cli {
    /// When to colour: auto (on a terminal, unless NO_COLOR is set), always, never
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        hide_possible_values = true
    )]
    pub color: Color,
    /// The validator's ledger: a file, postgres://USER@HOST/DATABASE, `default`, `none`
    // Neither its value nor that of the variable is shown: it may hold a password.
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_name = "LOCATION",
        env = "ATTEST_LEDGER",
        hide_env_values = true,
        value_hint = ValueHint::FilePath,
        value_parser = place::LedgerParser
    )]
    pub ledger: Option<LedgerPlace>,
    /// The table of GPU models (TOML) to use instead of the built-in one
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        value_parser = place::file()
    )]
    pub models: Option<PathBuf>,
    /// How log lines are written to standard error: text, or json (an object a line)
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        hide_possible_values = true
    )]
    pub log_format: LogFormat,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// For programs: an object a line
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Describe this machine's GPUs, how they are joined, and what does not fit
    Detect(Detect),
    /// Look for what of this machine attest can use, what is wrong, and how to mend it
    Doctor(Doctor),
    /// Issue a challenge and print its token
    Challenge(Box<Challenge>),
    /// Execute a challenge and print the result
    Run(Run),
    /// Check a result against its challenge
    Verify(Verify),
    /// Hold a live session with a miner: challenge, commitment, coin, verdict
    Validate(Box<Validate>),
    /// Answer live sessions of validators
    Respond(Respond),
    /// Answer a fleet's validators, through NATS
    Agent(Agent),
    /// Validate a fleet of agents, through NATS
    Fleet(Box<Fleet>),
    /// Show what a validator has on record, and forget what is old
    Ledger(Ledger),
    /// Serve a read-only page over a ledger, updated live
    Dashboard(Dashboard),
    /// Make a page to look at of results and their verdict
    Report(Box<Report>),
    /// Show a token or a result in plain words
    Inspect(Inspect),
    /// Make a signing key, or show its public half
    Key(Key),
    /// Wrap a result as a signed in-toto attestation, or check one
    Export(Box<Export>),
    /// Check a report that a device signed, with its certificates
    DeviceReport(DeviceReport),
    /// Check a quote that a machine's processor signed
    MachineReport(MachineReport),
    /// Print or check a validator's policy
    Policy(Policy),
    /// Print the JSON Schema of a verdict
    Schema(Schema),
    /// Check every executor and kernel variant present against the oracle
    Selftest(Selftest),
    /// Measure the GPU's kernels beside its ceilings and cuBLAS, and verification on the CPU
    Bench(Bench),
    /// Issue, execute and verify a challenge on this machine, then tamper with the result
    Demo(Demo),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  attest completions bash > /etc/bash_completion.d/attest")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man(Man),
}

#[cfg(test)]
mod docs;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_declaration_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn examples_and_prose_fit_a_terminal() {
        fn check(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines() {
                assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn help_offers_no_option_that_is_always_refused() {
        let mut cli = Cli::command();
        let mut help = |name| {
            let command = cli.find_subcommand_mut(name).expect("a command");
            command.render_long_help().to_string()
        };
        assert!(help("challenge").contains("--validator-id"));
        assert!(!help("validate").contains("--validator-id"));
    }
}
