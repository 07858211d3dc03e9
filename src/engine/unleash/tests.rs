//! From documents to decisions.
