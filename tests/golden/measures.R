# Writes measures.json, in the working directory: every measure of metafor 3.8-1 that has not changed
# since, on made-up but nasty numbers. Run: Rscript measures.R
# (Debian r-cran-metafor 3.8-1-1, R 4.2.2.) Seed and generators are fixed, so the file is the same
# on every run. Measures that later versions changed carry "estimate only" or "uncorrected": the
# variances of SMDH, SMD1H and SMCRH (new in 4.6) and the bias correction of ROM, ROMC, CVR (5.x).
suppressMessages(library(metafor))
set.seed(20260722, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = "Rejection")
k <- 25
effect <- function(...) {
  e <- suppressWarnings(escalc(...))
  list(yi = as.numeric(e$yi), vi = as.numeric(e$vi))
}
two <- data.frame(
  m1 = round(runif(k, 0.5, 60), 2), sd1 = round(exp(rnorm(k, 1, 1)), 3), n1 = sample(2:90, k, TRUE),
  m2 = round(runif(k, 0.5, 60), 2), sd2 = round(exp(rnorm(k, 1, 1)), 3), n2 = sample(2:90, k, TRUE))
two[1, ] <- c(1e-4, 2e-5, 12, 3e-4, 1e-5, 9)    # tiny numbers
two[2, ] <- c(3e6, 2e5, 300, 2e6, 4e5, 5000)    # huge numbers and groups
two[3, ] <- c(5, 1, 3, 5, 1, 3)                 # no difference, smallest groups with a finite J
two$n1 <- pmax(two$n1, 3); two$n2 <- pmax(two$n2, 3)
pair <- data.frame(
  m1 = round(runif(k, 0.5, 60), 2), m2 = round(runif(k, 0.5, 60), 2),
  sd1 = round(exp(rnorm(k, 1, 1)), 3), sd2 = round(exp(rnorm(k, 1, 1)), 3),
  n = sample(3:90, k, TRUE), r = round(runif(k, -0.9, 0.99), 3))
cells <- data.frame(a = sample(0:40, k, TRUE), n1 = sample(40:80, k, TRUE),
                    c = sample(0:40, k, TRUE), n2 = sample(40:80, k, TRUE))
cells[1, ] <- c(0, 20, 3, 20); cells[2, ] <- c(20, 20, 5, 30); cells[3, ] <- c(4, 9, 7, 7)
cells[4, ] <- c(0, 12, 15, 15); cells[5, ] <- c(1, 100000, 2, 90000)
rate <- data.frame(x1 = sample(0:50, k, TRUE), t1 = round(runif(k, 5, 900), 1),
                   x2 = sample(0:50, k, TRUE), t2 = round(runif(k, 5, 900), 1))
rate[1, 1] <- 0; rate[2, 3] <- 0
one <- data.frame(x = sample(0:30, k, TRUE), n = sample(30:70, k, TRUE))
one[1, ] <- c(0, 8); one[2, ] <- c(8, 8); one[3, ] <- c(1, 5000)
corr <- data.frame(r = round(runif(k, -0.98, 0.98), 3), n = sample(4:200, k, TRUE))
part <- data.frame(t = round(rnorm(k, 0, 3), 3), n = sample(12:200, k, TRUE), m = sample(1:9, k, TRUE))
alpha <- data.frame(alpha = round(runif(k, -0.2, 0.99), 3), m = sample(2:40, k, TRUE),
                    n = sample(3:300, k, TRUE))
stat <- data.frame(t = round(rnorm(k, 0, 3), 3), n1 = sample(3:60, k, TRUE), n2 = sample(3:60, k, TRUE))
mean1 <- data.frame(m = round(runif(k, 0.2, 90), 2), sd = round(exp(rnorm(k, 1, 1)), 3),
                    n = sample(2:90, k, TRUE))

means <- function(code, ...) with(two, effect(code, m1i = m1, sd1i = sd1, n1i = n1, m2i = m2,
                                              sd2i = sd2, n2i = n2, ...))
twice <- function(code, ...) with(pair, effect(code, m1i = m1, m2i = m2, sd1i = sd1, sd2i = sd2,
                                               ni = n, ri = r, ...))
table2 <- function(code, ...) with(cells, effect(code, ai = a, n1i = n1, ci = c, n2i = n2, ...))
rate2 <- function(code, ...) with(rate, effect(code, x1i = x1, t1i = t1, x2i = x2, t2i = t2, ...))
prop <- function(code) with(one, effect(code, xi = x, ni = n))
only <- function(e, why) c(e, list(limit = why))

out <- list(
  versions = list(metafor = as.character(packageVersion("metafor")), R = R.version.string),
  inputs = list(two = two, pair = pair, cells = cells, rate = rate, one = one, corr = corr,
                part = part, alpha = alpha, stat = stat, mean1 = mean1),
  two = list(
    MD = means("MD"), SMD = means("SMD"), SMD1 = means("SMD1"), VR = means("VR"),
    SMDH = only(means("SMDH"), "estimate only"), SMD1H = only(means("SMD1H"), "estimate only"),
    ROM = only(means("ROM"), "uncorrected"), CVR = only(means("CVR"), "uncorrected"),
    D2OR = means("D2OR"), D2ORN = means("D2ORN"), D2ORL = means("D2ORL")),
  pair = list(
    MC = twice("MC"), SMCC = twice("SMCC"), SMCR = twice("SMCR"),
    SMCRH = only(twice("SMCRH"), "estimate only"), ROMC = only(twice("ROMC"), "uncorrected")),
  cells = list(
    OR = table2("OR"), RR = table2("RR"), RD = table2("RD"), AS = table2("AS"),
    PETO = table2("PETO", add = 0), PHI = table2("PHI"), OR2D = table2("OR2D"),
    OR2DN = table2("OR2DN"), OR2DL = table2("OR2DL")),
  cells_all = list(
    OR = table2("OR", to = "all"), RR = table2("RR", to = "all"), RD = table2("RD", to = "all"),
    PETO = table2("PETO", to = "all"), AS = table2("AS", add = 0.5, to = "all"),
    PHI = table2("PHI", add = 0.5, to = "all")),
  rate = list(IRR = rate2("IRR"), IRD = rate2("IRD"), IRSD = rate2("IRSD")),
  one = list(PR = prop("PR"), PLN = prop("PLN"), PLO = prop("PLO"), PAS = prop("PAS"),
             PFT = prop("PFT")),
  corr = list(COR = with(corr, effect("COR", ri = r, ni = n)),
              ZCOR = with(corr, effect("ZCOR", ri = r, ni = n))),
  part = list(PCOR = with(part, effect("PCOR", ti = t, ni = n, mi = m))),
  alpha = list(ARAW = with(alpha, effect("ARAW", ai = alpha, mi = m, ni = n))),
  mean1 = list(MN = with(mean1, effect("MN", mi = m, sdi = sd, ni = n)),
               MNLN = with(mean1, effect("MNLN", mi = m, sdi = sd, ni = n))),
  double_zero = list(
    OR = effect("OR", ai = 0, n1i = 22, ci = 0, n2i = 23),
    RR = effect("RR", ai = c(0, 9), n1i = c(22, 9), ci = c(0, 7), n2i = c(23, 7)),
    IRR = effect("IRR", x1i = 0, t1i = 22, x2i = 0, t2i = 30)),
  back = list(
    PFT = with(one, list(yi = effect("PFT", xi = x, ni = n)$yi,
                         p = transf.ipft(effect("PFT", xi = x, ni = n)$yi, n))),
    PFT_harmonic = list(yi = c(0, 0.1, 0.4, 0.8, 1.2, 1.5), n = c(10, 17, 21, 6),
                        p = transf.ipft.hm(c(0, 0.1, 0.4, 0.8, 1.2, 1.5),
                                           targs = list(ni = c(10, 17, 21, 6)))),
    tanh = list(yi = c(-3, -0.2, 0, 1.4), value = transf.ztor(c(-3, -0.2, 0, 1.4))),
    logit = list(yi = c(-9, -0.2, 0, 4), value = transf.ilogit(c(-9, -0.2, 0, 4))),
    arcsine = list(yi = c(0, 0.4, 1.5), value = transf.iarcsin(c(0, 0.4, 1.5))))
)
write(jsonlite::toJSON(out, digits = NA, auto_unbox = TRUE, dataframe = "columns", na = "null"),
      "measures.json")
