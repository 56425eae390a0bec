//! The backend for more than one machine: statements in PostgreSQL, everything else in a store that
//! speaks S3. `postgres_s3/README.md` tells the life of one statement.

mod postgres;
