use std::net::IpAddr;

use clap::Args;

use super::{CliError, Format, input, output, with_services};
use crate::auth::{Explanation, Subject};
use crate::config::{Config, TrustedProxies};
use crate::domain::{Original, Requirement};

#[derive(Args)]
pub(super) struct Explain {
    /// The token's id, as `token list` shows it [default: the token on standard input, or none]
    id: Option<i64>,
    /// The original request's method [default: GET, if --host or --uri is given]
    #[arg(long)]
    method: Option<String>,
    /// The original request's host
    #[arg(long)]
    host: Option<String>,
    /// The original request's path and query, such as /posts/1 [default: /, if --host or --method is
    /// given]
    #[arg(long)]
    uri: Option<String>,
    /// The original request's Destination header, for COPY and MOVE
    #[arg(long, value_name = "URL")]
    destination: Option<String>,
    /// An ability that the request needs; repeatable, and all of them are needed
    #[arg(long = "ability", value_name = "ABILITY")]
    abilities: Vec<String>,
    /// The address that asks bearerd about the request [default: a trusted proxy's]
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    #[command(flatten)]
    format: Format,
}

impl Explain {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        let subject = match self.id {
            Some(id) => Subject::Row(id),
            None => match input::token()? {
                none if none.is_empty() => Subject::Nobody,
                token => Subject::Sent(token.into()),
            },
        };
        let abilities = input::abilities(&self.abilities)?;
        let named = abilities.map(Requirement::All).into_iter().collect();
        let original = Original::of(self.method, self.host, self.uri, self.destination);
        let trusted = TrustedProxies::new(config.trusted_proxies.clone()).include(self.from);
        let explanation = with_services(config, async |auth| {
            Ok(auth.explain(subject, named, original.as_ref(), trusted).await?)
        })?;
        match self.format.json {
            true => output::print_json(&explanation),
            false => output::print_lines(&lines(&explanation)),
        }
    }
}

fn lines(explanation: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &explanation.checks {
        let verdict = if step.passed { "pass" } else { "fail" };
        lines.push(format!("{verdict}  {}: {}", step.check, step.found));
        lines.extend(step.remedy.iter().map(|remedy| format!("      to pass: {remedy}")));
    }
    let verdict = if explanation.allowed { "allowed" } else { "refused" };
    lines.push(format!("{verdict}: /api/verify answers {}", explanation.status));
    lines
}
