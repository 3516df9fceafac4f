use serde::{Serialize, Serializer};

/// The errors of an input, by field, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidationErrors(Vec<(String, Vec<String>)>);

impl ValidationErrors {
    /// No error yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One error in one field.
    pub fn one(field: &str, text: impl Into<String>) -> Self {
        Self(vec![(field.to_owned(), vec![text.into()])])
    }

    /// Adds an error to a field, unless the field has the same error already. `text` is a sentence.
    pub fn add(&mut self, field: &str, text: impl Into<String>) {
        let text = text.into();
        match self.0.iter_mut().find(|(name, _)| name == field) {
            Some((_, texts)) if texts.contains(&text) => {}
            Some((_, texts)) => texts.push(text),
            None => self.0.push((field.to_owned(), vec![text])),
        }
    }

    /// Whether there are no errors.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first error, and the number of further ones.
    pub fn summary(&self) -> String {
        let mut texts = self.0.iter().flat_map(|(_, texts)| texts);
        let first = texts.next().map_or("", String::as_str);
        match texts.count() {
            0 => first.to_owned(),
            1 => format!("{first} (and 1 more error)"),
            more => format!("{first} (and {more} more errors)"),
        }
    }
}

impl Serialize for ValidationErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, texts)| (field, texts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_the_first_error_and_counts_the_others() {
        let mut errors = ValidationErrors::one("email", "The email field is required.");
        assert_eq!(errors.summary(), "The email field is required.");
        errors.add("password", "The password field is required.");
        assert_eq!(errors.summary(), "The email field is required. (and 1 more error)");
        errors.add("email", "Another.");
        assert_eq!(errors.summary(), "The email field is required. (and 2 more errors)");
    }
}
