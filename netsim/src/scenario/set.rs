//! Overrides of a scenario that was read, as `--set KEY=VALUE` gives them.

use std::collections::BTreeSet;

use super::error::{Problem, ScenarioError, list, nearest};
use super::flows::{CONTROLS, FLOW_CONTROLS};
use super::links::{Carrier, Link};
use super::read::{self, MODES, STARTS, Scenario};
use super::traffic;
use super::units;

/// What can be set of the scenario itself.
const OWN: [&str; 7] = ["duration", "file", "flow", "mode", "seed", "start", "text"];
/// What can be set of a link beside the keys of its profile.
const OF_LINKS: [&str; 4] = ["assume-loss", "control", "cost", "remembered-rate"];

impl Scenario {
    /// Sets something anew: `duration`, `mode`, `seed` or `start` of the scenario; with `file` or `text` the size of all such
    /// parts; with `flow` what all flows of others go by; a key of links or of profiles, such as `cost` or `rate`, on all links
    /// that have it; or `LINK.KEY` on the links of that name or group.
    ///
    /// # Errors
    ///
    /// A key that nothing has, with those that there are; a value that its key does not take; or a scenario that does
    /// not hold together any more. It stays as it was then.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), ScenarioError> {
        if !self.has(key) {
            return Err(self.unknown_key(key));
        }
        let mut changed = self.clone();
        changed.apply(key, value)?;
        changed.check()?;
        *self = changed;
        Ok(())
    }

    /// Whether there is anything that a key of the scenario itself would change.
    fn has(&self, key: &str) -> bool {
        let mut parts = self.messages.iter().flat_map(|message| &message.parts);
        match key {
            "file" | "text" => parts.any(|part| part.text == (key == "text")),
            "flow" => !self.flows.is_empty(),
            _ => true,
        }
    }

    fn apply(&mut self, key: &str, value: &str) -> Result<(), ScenarioError> {
        let refuse = |expected: &str| self.refusal(key, value, expected);
        match key {
            "duration" => {
                self.duration = read::duration(value).ok_or_else(|| refuse(read::DURATION))?
            }
            "seed" => {
                let seed = value
                    .parse()
                    .ok()
                    .filter(|seed: &u64| i64::try_from(*seed).is_ok());
                self.seed =
                    seed.ok_or_else(|| refuse("a whole number from 0 to 9223372036854775807"))?;
            }
            "mode" => {
                let word = MODES.iter().find(|(word, _)| *word == value);
                self.mode = word.ok_or_else(|| refuse("model or quic"))?.1;
            }
            "start" => {
                let word = STARTS.iter().find(|(word, _)| *word == value);
                self.start = word.ok_or_else(|| refuse("cold or warm"))?.1;
            }
            "flow" => {
                let word = FLOW_CONTROLS.iter().find(|(word, _)| *word == value);
                let control = word.ok_or_else(|| refuse("cubic, bbr or none"))?.1;
                self.flows
                    .iter_mut()
                    .for_each(|flow| flow.control = control);
            }
            "file" | "text" => {
                let bytes = traffic::part_size(value).ok_or_else(|| refuse(traffic::PART_SIZE))?;
                let parts = self.messages.iter_mut().flat_map(|m| &mut m.parts);
                let such = parts.filter(|part| part.text == (key == "text"));
                such.for_each(|part| part.bytes = bytes);
            }
            _ => return self.set_links(key, value),
        }
        Ok(())
    }

    fn refusal(&self, key: &str, value: &str, expected: &str) -> ScenarioError {
        let (key, value, expected) = (key.into(), format!("{value:?}"), expected.into());
        self.error(
            None,
            Problem::Value {
                key,
                value,
                expected,
            },
        )
    }

    fn set_links(&mut self, key: &str, value: &str) -> Result<(), ScenarioError> {
        let (name, what) = match key.split_once('.') {
            Some((name, what)) => (Some(name), what),
            None => (None, key),
        };
        let called = |link: &Link| match name {
            Some(name) => link.name == name || link.group.as_deref() == Some(name),
            // On all links means on those that have a choice.
            None => what != "control" || link.carrier == Carrier::Quic,
        };
        if OF_LINKS.contains(&what) && self.links.iter().any(called) {
            let mut links = self.links.iter_mut().filter(|link| called(link));
            let set = links.try_for_each(|link| set_of_link(link, what, value));
            return set.map_err(|expected| self.refusal(key, value, expected));
        }
        let has = |link: &Link| link.profile.keys().iter().any(|key| key.name == what);
        // On all links means on those that have such a thing.
        if !self.links.iter().any(|link| called(link) && has(link)) {
            return Err(self.unknown_key(key));
        }
        let mut refused = None;
        for link in self
            .links
            .iter_mut()
            .filter(|link| called(link) && has(link))
        {
            if let Err(why) = link.profile.set(what, value) {
                refused = Some(why);
            }
        }
        match refused {
            Some(why) => Err(self.error(None, Problem::Profile(why))),
            None => Ok(()),
        }
    }

    fn unknown_key(&self, key: &str) -> ScenarioError {
        let mut names: BTreeSet<&str> = self.links.iter().map(|link| link.name.as_str()).collect();
        names.extend(self.links.iter().filter_map(|link| link.group.as_deref()));
        let keys = self.links.iter().flat_map(|link| link.profile.keys());
        let keys: BTreeSet<&str> = keys.map(|key| key.name).chain(OF_LINKS).collect();
        let dotted = names
            .iter()
            .flat_map(|name| keys.iter().map(move |key| format!("{name}.{key}")));
        let own: Vec<&str> = OWN.into_iter().filter(|key| self.has(key)).collect();
        let plain = own.iter().chain(&keys).map(|key| (*key).to_owned());
        let all: Vec<String> = plain.chain(dotted).collect();
        let known = format!(
            "{}, {} on all links, and LINK.rate and so on, where LINK is one of {}",
            list(own),
            list(keys),
            list(names)
        );
        self.error(
            None,
            Problem::UnknownOverride {
                key: key.into(),
                nearest: nearest(key, all.iter().map(String::as_str)),
                known,
            },
        )
    }
}

/// Sets a key of links. An error says what it takes.
fn set_of_link(link: &mut Link, key: &str, value: &str) -> Result<(), &'static str> {
    match key {
        "assume-loss" => {
            link.assume_loss_ppm = Some(units::share_ppm(value).ok_or(units::SHARE)?);
        }
        "control" => {
            let word = CONTROLS.iter().find(|(word, _)| *word == value);
            link.control = word.ok_or("own or shared")?.1;
        }
        "remembered-rate" => link.remembered_bps = Some(units::rate(value).ok_or(units::RATE)?),
        _ => link.cost = value.parse().map_err(|_| "a whole number below 2^32")?,
    }
    Ok(())
}
