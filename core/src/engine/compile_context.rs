//! What a flag server's flags are compiled for.

use std::sync::Arc;

use crate::cluster::policy::UrlPolicy;
use crate::context::schema::ContextSchema;

/// What flags are compiled for, beside what their server says.
#[derive(Debug)]
pub struct CompileContext<'a> {
    /// The source's name.
    pub source: &'a Arc<str>,
    /// Which names are which fields; those that only flags mention are added.
    pub vocabulary: &'a mut ContextSchema,
    /// Which upstreams payloads may name.
    pub canary_urls: &'a UrlPolicy,
    /// The context's `appName`, the same for every request.
    pub app_name: &'a str,
    /// The context's `environment`, the same for every request.
    pub environment: Option<&'a str>,
    /// This machine's name, for flags that look at it.
    pub hostname: &'a str,
}
