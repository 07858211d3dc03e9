//! The exemplars of a page (<https://prometheus.io/docs/specs/om/open_metrics_spec/#exemplars>).
//!
//! prometheus-client's encoder takes exemplars of histograms that it keeps itself, and no others. So a page notes which of its
//! samples have one, in their order, and they are put at the ends of these lines when all are written.

use std::fmt::{Error, Write as _};

use crate::meter::exemplar::Exemplar;

/// What is known of a page that is being written.
#[derive(Debug, Default)]
pub(super) struct Exemplars {
    /// How many samples it has so far.
    samples: usize,
    /// By the sample's number from 0: the exemplar's value, and the request.
    noted: Vec<(usize, f64, Exemplar)>,
}

impl Exemplars {
    /// So many samples are written that have none.
    pub(super) fn pass(&mut self, samples: usize) {
        self.samples += samples;
    }

    /// One sample is written; the exemplar has this value in the sample's unit.
    pub(super) fn pass_with(&mut self, exemplar: Option<(f64, Exemplar)>) {
        if let Some((value, exemplar)) = exemplar {
            self.noted.push((self.samples, value, exemplar));
        }
        self.pass(1);
    }

    /// The page with its exemplars.
    pub(super) fn put_into(self, page: String) -> Result<String, Error> {
        if self.noted.is_empty() {
            return Ok(page);
        }
        let mut text = String::with_capacity(page.len() + self.noted.len() * 128);
        let (mut noted, mut samples) = (self.noted.into_iter().peekable(), 0..);
        for line in page.lines() {
            text.push_str(line);
            if !line.starts_with('#') {
                let sample = samples.next();
                if let Some((_, value, of)) = noted.next_if(|(of, ..)| Some(*of) == sample) {
                    let (seconds, millis) = (of.unix_ms / 1000, of.unix_ms % 1000);
                    let (trace, span) = (of.trace, of.span);
                    write!(
                        text,
                        r#" # {{trace_id="{trace:032x}",span_id="{span:016x}"}} {value} {seconds}.{millis:03}"#
                    )?;
                }
            }
            text.push('\n');
        }
        Ok(text)
    }
}
