use super::comparison::Comparison;

/// The name of an HTTP method, in capitals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(Box<str>);

/// A string that is no [`Method`]. Reads on from "allowed is …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a list of methods in capitals, such as [\"GET\", \"POST\"]; any method without it")]
pub struct MethodError;

impl Method {
    /// The method that `text` names: an RFC 9110 token without small letters, which no method has.
    ///
    /// # Errors
    /// [`MethodError`] if it is none.
    pub fn parse(text: &str) -> Result<Self, MethodError> {
        let is_method = is_token(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase());
        if is_method { Ok(Self(text.into())) } else { Err(MethodError) }
    }

    /// The method's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for `method`. Who may GET may ask for the head alone.
    pub(super) fn matches(&self, method: &str, comparison: Comparison) -> bool {
        let is = |name: &str| match comparison {
            Comparison::Strict => method == name,
            Comparison::Loose => method.eq_ignore_ascii_case(name),
        };
        is(&self.0) || (&*self.0 == "GET" && is("HEAD"))
    }
}

/// Whether `text` is a token in the sense of RFC 9110, 5.6.2.
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
