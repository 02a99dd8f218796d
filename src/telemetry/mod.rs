//! What the program tells those who watch it: traces over OTLP, and how its process is.

mod export;
mod host;
mod traces;

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};

use export::Post;
pub use host::{ThisProcess, note_backup};
use traces::GivenIds;
pub use traces::Traces;

const NAME: &str = "hakken";
/// Where the standard's variables say that spans go, the more specific one first.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Begins to export traces to `otlp`, or to where the variables of OpenTelemetry say. None if
/// nobody wants them.
pub fn traces(otlp: Option<&str>) -> Result<Option<Arc<Traces>>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value == "true")
        || variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    let told = ENDPOINTS.iter().find_map(|name| variable(name));
    let Some(address) = otlp.map(str::to_owned).or(told).filter(|_| otlp.is_some() || !is_off)
    else {
        return Ok(None);
    };
    if !address.starts_with("http://") {
        bail!(
            "traces go to an address that begins with http://, and {address:?} does not: for TLS \
             let a collector beside hakken take them, and send them on"
        );
    }
    let builder = SpanExporter::builder().with_http().with_http_client(Post::new()?);
    let exporter = match otlp {
        // As OTEL_EXPORTER_OTLP_ENDPOINT is understood.
        Some(base) => builder.with_endpoint(format!("{}/v1/traces", base.trim_end_matches('/'))),
        None => builder,
    };
    let exporter =
        exporter.build().with_context(|| format!("traces cannot be sent to {address}"))?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource(variable("OTEL_SERVICE_NAME").is_some()))
        .with_id_generator(GivenIds::default())
        .with_batch_exporter(exporter)
        .build();
    tracing::info!(%address, "requests are traced");
    let tracer = provider.tracer(NAME);
    Ok(Some(Arc::new(Traces::new(provider, tracer))))
}

/// Who we are, as the standard's variables say it, or `hakken`.
fn resource(is_named: bool) -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let attributes = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let builder = Resource::builder().with_attribute(version);
    if is_named || attributes.contains("service.name=") {
        return builder.build();
    }
    builder.with_service_name(NAME).build()
}
