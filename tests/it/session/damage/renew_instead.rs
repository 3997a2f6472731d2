//! A store that renews a session where the handle destroys it.

use tower_handoff::session::{
    NewSession, RedisSessions, Revoke, Save, SaveOutcome, SessionId, SessionRecord, SessionStore,
    StoreError, UserSession, VerifierHash,
};

/// A renewal is nothing that a handler can ask for.
pub(super) struct RenewInstead(pub(super) RedisSessions);

impl SessionStore for RenewInstead {
    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        self.0.load(id).await
    }

    async fn create(&self, id: &SessionId, new: &NewSession<'_>) -> Result<bool, StoreError> {
        self.0.create(id, new).await
    }

    async fn save(&self, id: &SessionId, save: &Save<'_>) -> Result<SaveOutcome, StoreError> {
        self.0.save(id, save).await
    }

    async fn renew(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        self.0.renew(id, verifier).await
    }

    async fn destroy(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        self.0.renew(id, verifier).await
    }

    async fn sessions_of(&self, user: &str) -> Result<Vec<UserSession>, StoreError> {
        self.0.sessions_of(user).await
    }

    async fn revoke(&self, user: &str, which: Revoke) -> Result<u64, StoreError> {
        self.0.revoke(user, which).await
    }
}
