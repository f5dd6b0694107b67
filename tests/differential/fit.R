# Fits every random data set of run.py by metafor. Numbers travel as raw doubles, since text would
# round them. Call: Rscript fit.R folder part parts   (run.py does)
suppressMessages(library(metafor))
args <- commandArgs(TRUE)
folder <- args[1]; part <- as.integer(args[2]); parts <- as.integer(args[3])
doubles <- function(name) {
  path <- file.path(folder, name)
  readBin(path, "double", file.size(path) / 8)
}
k <- doubles("k.bin"); p <- doubles("p.bin")
yi <- doubles("yi.bin"); vi <- doubles("vi.bin"); x1 <- doubles("x1.bin"); x2 <- doubles("x2.bin")
end <- cumsum(k); start <- end - k + 1
methods <- c("EE", "DL", "HE", "HS", "HSk", "SJ", "ML", "REML", "EB", "PM", "PMM")
tests <- c("z", "t", "knha", "adhoc")
messages <- character(0)
code <- function(text) {
  if (!(text %in% messages)) messages <<- c(messages, text)
  match(text, messages)
}
three <- function(x) c(as.numeric(x), rep(NaN, 3))[1:3]
one <- function(x) if (length(x)) as.numeric(x[1]) else NaN
q_profile <- function(f, scale) tryCatch({
  ci <- suppressWarnings(confint(f, control = list(tol = 1e-14 * scale, maxiter = 2000,
                                                   tau2.max = 1e6 * scale)))
  as.numeric(ci$random[1, 2:3])
}, error = function(e) c(NaN, NaN))
mine <- seq(part, length(k), by = parts)
out <- file(file.path(folder, paste0("fits", part, ".bin")), "wb")
for (i in mine) {
  rows <- start[i]:end[i]
  y <- yi[rows]; v <- vi[rows]
  scale <- max(var(y), mean(v))
  control <- list(threshold = 1e-13 * scale, maxiter = 2000, tol = 1e-14 * scale,
                  tau2.max = 1000 * scale)
  mods <- if (p[i] == 1) NULL else cbind(x1[rows], if (p[i] == 3) x2[rows])
  for (m in seq_along(methods)) {
    test <- tests[(i + m) %% 4 + 1]
    call <- list(yi = y, vi = v, method = methods[m], test = test, control = control)
    if (!is.null(mods)) call$mods <- mods
    f <- tryCatch(suppressWarnings(do.call(rma, call)), error = function(e) conditionMessage(e))
    row <- if (is.character(f)) c(code(f), rep(NaN, 27)) else if (f$p != p[i])
      c(code("a moderator was dropped as redundant"), rep(NaN, 27)) else {
      pi <- if (p[i] > 1 || m == 1) c(NaN, NaN) else {
        q <- suppressWarnings(predict(f)); c(one(q$pi.lb), one(q$pi.ub)) }
      c(0, f$tau2, one(f$se.tau2), f$I2, f$H2, f$QE, f$QEp, three(f$beta), three(f$se),
        three(f$pval), three(f$ci.lb), three(f$ci.ub), pi, if (p[i] > 1) c(f$QM, f$QMp) else
        c(NaN, NaN), if (methods[m] == "REML") q_profile(f, scale) else c(NaN, NaN))
    }
    writeBin(c(i, m, row), out)
  }
  if (match(i, mine) %% 500 == 0) cat(sprintf("R, part %d: %d of %d sets\n", part, match(i, mine),
                                              length(mine)))
}
close(out)
writeLines(c(as.character(packageVersion("metafor")), paste(R.version$major, R.version$minor,
  sep = "."), messages), file.path(folder, paste0("messages", part, ".txt")))
