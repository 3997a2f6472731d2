//! A type that is one field of the session, read in one step.
//! Floor 5.

use std::fmt;
use std::ops::Deref;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::session::error::SessionError;
use crate::session::handle::Session;
use crate::session::key::Key;

/// A type that is one field of every session: its [`Key`] is the one line to write. Read with
/// [`Session::section`], or in axum as an argument of a handler: [`Section<T>`](Section).
pub trait SessionSection: Serialize + DeserializeOwned + Send + Sync + Sized + 'static {
    /// The field.
    const KEY: Key<Self>;
}

/// A field of the session as it was when it was read. Reads by dereferencing; changes are said:
/// [`set`](Self::set) with the response, [`update`](Self::update) at once.
///
/// A field that is not there is `T::default()`; in a `Section<Option<T>>` it is `None`, and `T`
/// needs no default. What cannot be decoded is treated as
/// [`Undecodable`](crate::session::Undecodable) says: by default as though it were not there.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tower_handoff::session::{Key, Section, SessionError, SessionSection};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Cart {
///     items: Vec<u32>,
/// }
///
/// impl SessionSection for Cart {
///     const KEY: Key<Self> = Key::new("cart");
/// }
///
/// async fn count(cart: Section<Cart>) -> String {
///     cart.items.len().to_string()
/// }
///
/// async fn add(mut cart: Section<Cart>) -> Result<String, SessionError> {
///     cart.update(|cart| cart.items.push(7)).await?; // loses no other request's item
///     Ok(cart.items.len().to_string())
/// }
///
/// async fn empty(mut cart: Section<Cart>) -> Result<(), SessionError> {
///     cart.set(Cart::default())
/// }
/// # #[cfg(feature = "axum")] {
/// use axum::Router;
/// use axum::routing::get;
///
/// let cart = get(count).post(add).delete(empty);
/// let app: Router = Router::new().route("/cart", cart); // and the SessionLayer around it
/// # }
/// ```
///
/// # In axum
/// As an argument, a section fails the request where the store is away (503 with `Retry-After`),
/// where it cannot be decoded and [`Undecodable::Error`](crate::session::Undecodable::Error) says
/// so (409), and where no layer is around the handler (500, named). An `Option<Section<T>>` is
/// `None` where the store is away, and for nothing else: the option outside is about the store,
/// as in [`Session::optional`], the one inside about the field.
///
/// # Cost
/// The load of the request, one round trip however many sections and readers it has, and none
/// without a cookie. The value is decoded once for each extraction.
pub struct Section<T> {
    value: T,
    session: Session,
}

/// What a [`Section`] may hold: a [`SessionSection`] that has a default, or an `Option` of one.
///
/// Implemented by nothing else.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be in a `Section`",
    note = "implement `SessionSection` and `Default` for it, or use `Section<Option<{Self}>>`, \
            which is `None` where the field is not there"
)]
pub trait SectionValue: Send + Sized + sealed::Sealed {
    #[doc(hidden)]
    type Field: SessionSection;
    #[doc(hidden)]
    fn of(field: Option<Self::Field>) -> Self;
    #[doc(hidden)]
    fn field(&self) -> Option<&Self::Field>;
    #[doc(hidden)]
    fn into_field(self) -> Option<Self::Field>;
}

impl<T: SessionSection + Default> SectionValue for T {
    type Field = T;

    fn of(field: Option<T>) -> T {
        field.unwrap_or_default()
    }

    fn field(&self) -> Option<&T> {
        Some(self)
    }

    fn into_field(self) -> Option<T> {
        Some(self)
    }
}

impl<T: SessionSection> SectionValue for Option<T> {
    type Field = T;

    fn of(field: Self) -> Self {
        field
    }

    fn field(&self) -> Option<&T> {
        self.as_ref()
    }

    fn into_field(self) -> Self {
        self
    }
}

impl Session {
    /// A section, read and decoded; for services without axum, and to go on from an
    /// [`optional`](Self::optional) session.
    ///
    /// Costs the read that the first `get` would have cost.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// use tower_handoff::session::{Key, Session, SessionError, SessionSection};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Profile {
    ///     name: String,
    /// }
    ///
    /// impl SessionSection for Profile {
    ///     const KEY: Key<Self> = Key::new("profile");
    /// }
    ///
    /// async fn name(session: Session) -> Result<Option<String>, SessionError> {
    ///     let profile = session.section::<Option<Profile>>().await?;
    ///     Ok(profile.as_ref().map(|profile| profile.name.clone()))
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn section<T: SectionValue>(&self) -> Result<Section<T>, SessionError> {
        let field = self.get(T::Field::KEY).await?;
        Ok(Section {
            value: T::of(field),
            session: self.clone(),
        })
    }
}

impl<T: SectionValue> Section<T> {
    /// Replaces the field, with what else is written when the handler has answered; `None` removes
    /// it. Overwrites what another request has written meanwhile; [`update`](Self::update) does
    /// not. Never reads.
    ///
    /// # Errors
    /// As [`Session::set`]; the section is as it was then.
    pub fn set(&mut self, value: T) -> Result<(), SessionError> {
        match value.field() {
            Some(field) => self.session.set(T::Field::KEY, field)?,
            None => self.session.remove(T::Field::KEY)?,
        }
        self.value = value;
        Ok(())
    }

    /// Changes the field from what it is now, not from what it was when it was read, and writes it
    /// before it returns: see [`Session::update`], whose cost this is. The section is then what was
    /// written. `change` may run several times.
    ///
    /// # Errors
    /// As [`Session::update`]; the section is as it was then.
    ///
    /// # Cancel safety
    /// Dropped, it may or may not have written; the section is as it was.
    pub async fn update(
        &mut self,
        mut change: impl FnMut(&mut T) + Send,
    ) -> Result<(), SessionError> {
        let change = |field| {
            let mut value = T::of(field);
            change(&mut value);
            value.into_field()
        };
        self.value = T::of(self.session.update(T::Field::KEY, change).await?);
        Ok(())
    }

    /// The value alone.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Section<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: SectionValue> fmt::Debug for Section<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section")
            .field("field", &T::Field::KEY.name())
            .finish_non_exhaustive()
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else is to implement it")]
    pub trait Sealed {}
    impl<T: super::SessionSection + Default> Sealed for T {}
    impl<T: super::SessionSection> Sealed for Option<T> {}
}
