//! Brings the committed schema to cynic, which checks every document below against it.

fn main() {
    cynic_codegen::register_schema("hakken")
        .from_sdl_file("../../../api/schema.graphql")
        .expect("the schema is read")
        .as_default()
        .expect("the schema is kept");
}
