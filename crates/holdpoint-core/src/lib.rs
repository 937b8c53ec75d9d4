//! holdpoint-core
