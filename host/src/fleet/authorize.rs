//! A nats-server configuration in which every miner has its own subjects and no others'.

use super::connect::nkey_of;
use super::names;
use crate::protocol::signature::PublicKey;
use std::fmt::Write as _;

/// The `accounts` of a nats-server configuration for these keys, to be included in one.
pub fn configuration(validators: &[PublicKey], miners: &[PublicKey]) -> String {
    let mut text = String::from("accounts {\n  FLEET {\n    jetstream: enabled\n    users = [\n");
    for key in validators {
        let nkey = nkey_of(key);
        writeln!(text, "      # validator {key}\n      {{ nkey: {nkey} }}").expect("a string");
    }
    for key in miners {
        let (nkey, key) = (nkey_of(key), key.encoded());
        let publish = [names::from(key, "*"), names::announcement(key)];
        let subscribe = [names::ask(key), names::to(key, "*")];
        writeln!(
            text,
            "      # miner {key}\n      {{ nkey: {nkey}, permissions: {{\n        \
             publish: {{ allow: [\"{}\"] }}\n        \
             subscribe: {{ allow: [\"{}\"] }} }} }}",
            publish.join("\", \""),
            subscribe.join("\", \"")
        )
        .expect("a string");
    }
    text.push_str("    ]\n  }\n  SYS {}\n}\nsystem_account: SYS\n");
    text
}
