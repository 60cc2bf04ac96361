//! Generates the messages and the client from protos/, without protoc: protox compiles them.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = "../../protos";
    println!("cargo:rerun-if-changed={protos}");
    let files = protox::compile(["cio/sidecar/v1/ingest.proto"], [protos])?;
    tonic_prost_build::configure().build_server(false).compile_fds(files)?;
    Ok(())
}
