use super::comparison::Comparison;

/// The name of an HTTP method, in capitals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(Box<str>);

/// A string is not a valid [`Method`]. The message continues "allowed is …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a list of methods in capitals, such as [\"GET\", \"POST\"]; any method without it")]
pub struct MethodError;

impl Method {
    /// Parses a method: an RFC 9110 token without lower-case letters, which no method has.
    ///
    /// # Errors
    /// [`MethodError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, MethodError> {
        let is_method = is_token(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase());
        if is_method { Ok(Self(text.into())) } else { Err(MethodError) }
    }

    /// The method's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this method allows `method`. GET also allows HEAD.
    pub(super) fn matches(&self, method: &str, comparison: Comparison) -> bool {
        let is = |name: &str| match comparison {
            Comparison::Strict => method == name,
            Comparison::Loose => method.eq_ignore_ascii_case(name),
        };
        is(&self.0) || (&*self.0 == "GET" && is("HEAD"))
    }
}

/// Whether `text` is a token as defined in RFC 9110, 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_told_from_other_strings() {
        for good in ["GET", "M-SEARCH", "VERSION_2"] {
            assert_eq!(Method::parse(good).as_ref().map(Method::as_str), Ok(good));
        }
        for bad in ["", "get", "Get", "GET,POST", "G ET", "GÉT", "GET\n"] {
            assert_eq!(Method::parse(bad), Err(MethodError), "{bad}");
        }
    }
}
