# read_faces(path): a table of `mien analyze` (.csv, .tsv) or a time series of `mien summarize --bids`, as a data frame.
# Base R only. Missing values are NA; frames without a face are rows whose readings are NA (success is 0).
read_faces <- function(path, seen_only = FALSE) {
  lines <- readLines(path, n = 1, encoding = "UTF-8")
  separator <- if (grepl("\t", lines)) "\t" else if (grepl(";", lines)) ";" else ","
  faces <- read.table(
    path,
    header = TRUE, sep = separator, dec = if (separator == ";") "," else ".",
    quote = "\"", comment.char = "", na.strings = c("", "NaN", "NA", "n/a"),
    stringsAsFactors = FALSE, check.names = FALSE, encoding = "UTF-8"
  )
  names(faces) <- trimws(names(faces))
  texts <- intersect(c("input", "error", "emotion", "hidden", "quality", "explanation", "withheld"), names(faces))
  faces[texts] <- lapply(faces[texts], as.character)
  numbers <- setdiff(names(faces), texts)
  faces[numbers] <- lapply(faces[numbers], as.numeric)
  if (seen_only) faces[!is.na(faces$success) & faces$success > 0, ] else faces
}
