//! The survey: texts, measures, policies, verdicts.
