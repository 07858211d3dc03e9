//! Two audiences, one answer.
