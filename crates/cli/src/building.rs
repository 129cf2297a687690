//! A build, told to the person or program that asked for it.

use std::path::Path;
use std::time::Duration;

use builder::Events;
use recipe::RecipeId;
use serde_json::json;

use crate::render::{self, Voice};

/// Tells a build as lines for people or as JSON events.
#[derive(Debug)]
pub struct Told<'a> {
    voice: &'a Voice,
    json: bool,
    present: usize,
    /// What is being worked on, told only once it is more than a look into the cache.
    pending: Option<(RecipeId, usize, usize)>,
}

impl<'a> Told<'a> {
    /// Tells it to `voice`, or to standard output as JSON.
    pub fn new(voice: &'a Voice, json: bool) -> Self {
        Self { voice, json, present: 0, pending: None }
    }

    /// One line about everything that was there before.
    pub fn finish(&self) {
        if self.present > 0 && !self.json {
            let recipes = render::count(self.present as u64, "recipe");
            self.voice.status(format_args!("{recipes} built before, nothing to do"));
        }
    }

    fn event(&self, event: &serde_json::Value) {
        // A reader that has gone is noticed when the result is printed.
        let _ = render::json(event);
    }

    fn begin(&mut self) {
        if let Some((recipe, number, total)) = self.pending.take() {
            self.voice.status(format_args!("({number}/{total}) {recipe}"));
        }
    }
}

impl Events for Told<'_> {
    fn started(&mut self, recipe: &RecipeId, number: usize, total: usize) {
        if self.json {
            self.event(&json!({ "reason": "started", "recipe": recipe.to_string(), "number": number, "total": total }));
        } else {
            self.pending = Some((recipe.clone(), number, total));
        }
    }

    fn fetching(&mut self, name: &str, place: &str) {
        if self.json {
            self.event(&json!({ "reason": "fetching", "name": name, "place": place }));
        } else {
            self.voice.status(format_args!("  fetching {name} from {place}"));
        }
    }

    fn building(&mut self, recipe: &RecipeId, log: &Path) {
        if self.json {
            self.event(&json!({ "reason": "building", "recipe": recipe.to_string(), "log": log }));
        } else {
            self.begin();
            self.voice.detail(format_args!("  log: {}", log.display()));
        }
    }

    fn finished(&mut self, recipe: &RecipeId, built: bool, time: Duration) {
        if self.json {
            let seconds = time.as_secs_f64();
            self.event(&json!({ "reason": "built", "recipe": recipe.to_string(), "fresh": built, "seconds": seconds }));
        } else if built {
            self.begin();
            self.voice.status(format_args!("  done in {:.1} s", time.as_secs_f64()));
        } else {
            self.present += 1;
            self.pending = None;
        }
    }

    fn warning(&mut self, recipe: &RecipeId, what: &str) {
        if self.json {
            self.event(&json!({ "reason": "warning", "recipe": recipe.to_string(), "what": what }));
        } else {
            self.voice.warning(format_args!("{recipe}: {what}"));
        }
    }
}
