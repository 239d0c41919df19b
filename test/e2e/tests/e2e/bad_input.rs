//! What others write wrongly, and what is configured wrongly.
