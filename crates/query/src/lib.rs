//! The one road to data: sessions, SQL, the fast path and DataFusion providers.
