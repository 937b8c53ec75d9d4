//! The adapters: one per thing in the world that effects and observations pass through.
