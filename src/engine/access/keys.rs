//! Keys behind a recipient on its line: how its mail is greylisted.

use std::fmt;

use crate::engine::access::line::{Fault, Remark};
use crate::engine::limits::DELAY_MAX;
use crate::engine::time::Seconds;
use crate::engine::{Greylist, Policy};

/// How the mail of a recipient is greylisted, as far as its line says so; the rest is as for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecipientPolicy {
    /// How long a new triplet waits, from 1 second to [`DELAY_MAX`], and shorter than the retry window.
    pub delay: Option<Seconds>,
    /// Which clients have to wait.
    pub greylist: Option<Greylist>,
}

impl RecipientPolicy {
    /// What holds for this recipient, where `policy` holds for everybody.
    pub fn over(self, mut policy: Policy) -> Policy {
        policy.rules.delay = self.delay.unwrap_or(policy.rules.delay);
        policy.greylist = self.greylist.unwrap_or(policy.greylist);
        policy
    }
}

impl fmt::Display for RecipientPolicy {
    /// As it stands on a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(delay) = self.delay {
            write!(f, "delay={delay}")?;
        }
        if self.delay.is_some() && self.greylist.is_some() {
            f.write_str(" ")?;
        }
        f.write_str(match self.greylist {
            Some(Greylist::All) => "greylist=all",
            Some(Greylist::Suspicious) => "greylist=suspicious",
            None => "",
        })
    }
}

/// A line as what it is about and the keys behind it, if it has any.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let (word, rest) = text.split_once(|it: char| it.is_ascii_whitespace())?;
    // In a regular expression nobody may write a blank, so this one has not ended yet.
    let is_open = word.starts_with('/') && !(word.len() > 1 && word.ends_with('/'));
    (!is_open && rest.contains('=')).then_some((word, rest.trim_ascii_start()))
}

/// Whether a word is a key, and nothing stands before it.
pub(super) fn is_key(word: &str) -> bool {
    let key = word.split_once('=').map_or("", |(key, _)| key);
    let is_known = ["delay", "greylist"]
        .iter()
        .any(|it| key.eq_ignore_ascii_case(it));
    is_known && !word.contains('@')
}

/// Reads the keys, or says what is wrong with them.
pub(super) fn read(keys: &str, retry_window: Seconds) -> Result<RecipientPolicy, Remark> {
    let mut policy = RecipientPolicy::default();
    for word in keys.split_ascii_whitespace() {
        let (key, value) = word
            .split_once('=')
            .filter(|(key, value)| !key.is_empty() && !value.is_empty())
            .ok_or_else(|| {
                let why = format!("{word} is no key with a value, without blanks between");
                known_keys(why)
            })?;
        let is_second = if key.eq_ignore_ascii_case("delay") {
            policy.delay.replace(delay(value, retry_window)?).is_some()
        } else if key.eq_ignore_ascii_case("greylist") {
            policy.greylist.replace(greylist(value)?).is_some()
        } else {
            return Err(known_keys(format!("there is no key {key}")));
        };
        if is_second {
            let why = format!("{key}= stands there twice");
            return Err(Remark::new(Fault::Invalid, why).instead("one of them"));
        }
    }
    Ok(policy)
}

fn known_keys(why: String) -> Remark {
    Remark::new(Fault::Invalid, why).instead("delay=SECONDS, or greylist=suspicious or all")
}

fn delay(value: &str, retry_window: Seconds) -> Result<Seconds, Remark> {
    let is_digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = is_digits.then(|| value.parse().ok()).flatten();
    let delay = seconds
        .map(Seconds::new)
        .filter(|delay| (Seconds::new(1)..=DELAY_MAX).contains(delay));
    let Some(delay) = delay else {
        let why = format!("delay={value} is not a whole number of seconds from 1 to {DELAY_MAX}");
        return Err(Remark::new(Fault::Invalid, why).instead("delay=300 for five minutes"));
    };
    if delay >= retry_window {
        let why = format!(
            "with delay={value} and a retry window of {retry_window} seconds no retry could be in time"
        );
        let most = retry_window.less(Seconds::new(1));
        return Err(Remark::new(Fault::Invalid, why).instead(format!("delay={most} at most")));
    }
    Ok(delay)
}

fn greylist(value: &str) -> Result<Greylist, Remark> {
    if value.eq_ignore_ascii_case("all") {
        Ok(Greylist::All)
    } else if value.eq_ignore_ascii_case("suspicious") {
        Ok(Greylist::Suspicious)
    } else {
        let why = format!(
            "greylist={value} says nothing, and a line without a key lets all mail of the recipient pass"
        );
        Err(Remark::new(Fault::Invalid, why).instead("greylist=suspicious or greylist=all"))
    }
}
