"""The API's types as data, and what reads them: types, field checks, merge keys, OpenAPI, protobuf."""
