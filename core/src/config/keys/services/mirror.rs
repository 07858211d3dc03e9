//! The keys of `mirror`.

use std::sync::Arc;

use http::Method;

use crate::config::keys::key::{Group, Setting, Stated, group, required, setting, stated};
use crate::config::keys::kinds::lists::{MIRRORED, MemberPaths, Methods};
use crate::config::keys::kinds::texts::{Name, name};
use crate::config::keys::kinds::{Bool, Percentage, percent};
use crate::config::keys::shape::{Shape, map};

pub(crate) static MIRROR: Group = group(
    "mirror",
    "A shadow that gets copies of requests; its answers reach nobody, and it delays nobody.",
    &MIRROR_SHAPE,
);

static MIRROR_SHAPE: Shape = map(&[&TO, &SAMPLE, &METHODS, &COMPARE, &IGNORE]);

pub(crate) static TO: Stated<Name<Arc<str>>> = required(
    "to",
    "A canary of the service, its shadow: the flag's name, or flag:variant. A flag without rings has no users of its own.",
    name(),
);

pub(crate) static SAMPLE: Setting<Percentage> = setting(
    "sample",
    "Of how many requests; default {default}.",
    Percentage,
    percent(100),
);

pub(crate) static METHODS: Setting<&Methods> = setting(
    "methods",
    "Of requests by which methods; default {default}.",
    &MIRRORED,
    &[Method::GET, Method::HEAD, Method::OPTIONS],
);

pub(crate) static COMPARE: Setting<Bool> = setting(
    "compare",
    "Whether its answers are compared with stable's; default {default}.",
    Bool,
    false,
);

pub(crate) static IGNORE: Stated<MemberPaths> = stated(
    "ignore",
    "Members of JSON bodies that may differ, as in $.timestamp or $.items[*].id; default none.",
    MemberPaths,
);
