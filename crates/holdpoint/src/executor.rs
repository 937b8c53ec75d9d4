//! Performs effects: one match from an effect to its adapter.
