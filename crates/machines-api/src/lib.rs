//! machines-api
