# Writes the golden grid: published data sets, their effect sizes, and every model on them.
# metafor 3.8-1 (Debian r-cran-metafor 3.8-1-1), metadat 1.2-0 (r-cran-metadat 1.2-0-2), R 4.2.2.
# Run in this folder: Rscript grid.R   (about three minutes). What is written: README.md here.
suppressMessages({library(metafor); library(metadat)})

# Control settings -------------------------------------------------------------------------------
# metafor's own thresholds are absolute and wide. Here the threshold of the iterations is 1e-13 of
# the variance of the effects: as an absolute number it is below the spacing of floating-point
# numbers for effects of size 20 (normand1999 MD: metafor does not converge) and leaves 1e-7 of tau2
# for effects of size 0.001 (nielweise2008 IRD). tau2.max is the end of the search for the root of
# PM and of the intervals, so it follows the scale, too.
tight <- function(yi) list(threshold = 1e-13 * var(yi), maxiter = 10000, tol = 1e-14,
                           tau2.max = 1000 * var(yi))
text <- function(x) ifelse(is.na(x), "", formatC(x, digits = 15, format = "g", width = 1))
write_table <- function(frame, file) {
  numbers <- sapply(frame, is.double)
  frame[numbers] <- lapply(frame[numbers], text)
  write.csv(frame, file, row.names = FALSE, quote = FALSE, na = "")
}

# Data -------------------------------------------------------------------------------------------
# Columns get the names that effect_size() takes; `moderator` is a number.
sets <- list()
add <- function(name, family, data, measures, models = measures)
  sets[[name]] <<- list(family = family, data = as.data.frame(data), measures = measures,
                        models = models)
means <- c("MD", "SMD", "SMDH", "SMD1", "SMD1H", "ROM", "VR", "CVR", "D2OR", "D2ORN", "CLES")
pairs <- c("MC", "SMCC", "SMCR", "SMCRH", "SMCRP", "SMCRPH", "ROMC")
table2 <- c("OR", "RR", "RD", "PETO", "AS", "PHI", "OR2D", "OR2DN")
single <- c("PR", "PLN", "PLO", "PAS", "PFT")
rates <- c("IRR", "IRD", "IRSD")
matched <- c("MPRD", "MPRR", "MPOR", "MPORC", "MPPETO")

with(dat.normand1999, add("normand1999", "means", data.frame(
  m1 = m1i, sd1 = sd1i, n1 = n1i, m2 = m2i, sd2 = sd2i, n2 = n2i), means))
with(dat.gibson2002[!is.na(dat.gibson2002$m1i), ], add("gibson2002", "means", data.frame(
  m1 = m1i, sd1 = sd1i, n1 = n1i, m2 = m2i, sd2 = sd2i, n2 = n2i,
  moderator = as.numeric(type == 1)), means, c("MD", "SMD", "SMDH", "SMD1H")))
with(dat.curtis1998, add("curtis1998", "means", data.frame(
  m1 = m1i, sd1 = sd1i, n1 = n1i, m2 = m2i, sd2 = sd2i, n2 = n2i, moderator = time),
  means, c("ROM", "VR", "CVR")))
# lehmann2018: the studies within people that report the correlation.
with(subset(dat.lehmann2018, Design == "Within Subjects" & !is.na(RM_r)),
  add("lehmann2018", "pairs", data.frame(m1 = Red_M, m2 = Control_M, sd1 = Red_SD,
    sd2 = Control_SD, n = Red_N, r = RM_r, moderator = as.numeric(Gender == "Females")), pairs))
# morris2008 (treatment groups; not in metadat 1.2-0): inputs in ../acceptance.json.
with(jsonlite::fromJSON("../acceptance.json")$morris2008$inputs,
  add("morris2008", "pairs", data.frame(m1 = m_post, m2 = m_pre, sd1 = sd_pre, sd2 = sd_post,
    n = n, r = r), pairs))
with(dat.bcg, add("bcg", "table", data.frame(a = tpos, n1 = tpos + tneg, c = cpos,
  n2 = cpos + cneg, moderator = ablat), table2))
with(dat.collins1985b, add("collins1985b", "table", data.frame(a = pre.xti, n1 = pre.nti,
  c = pre.xci, n2 = pre.nci, moderator = year), table2, c("OR", "PHI")))
with(subset(dat.linde2005, !is.na(ai)), add("linde2005", "table", data.frame(a = ai, n1 = n1i,
  c = ci, n2 = n2i, moderator = major), table2, c("RR", "OR2D")))
with(dat.hine1989, add("hine1989", "table", data.frame(a = ai, n1 = n1i, c = ci, n2 = n2i),
  table2, c("RD", "AS")))
with(dat.li2007, add("li2007", "table", data.frame(a = ai, n1 = n1i, c = ci, n2 = n2i,
  moderator = year), table2, c("OR", "PETO")))
with(dat.nielweise2007, add("nielweise2007", "table", data.frame(a = ai, n1 = n1i, c = ci,
  n2 = n2i, moderator = year), table2, c("OR", "PETO", "RD")))
with(subset(dat.yusuf1985, table == 6 & !is.na(ai)), add("yusuf1985", "table", data.frame(a = ai,
  n1 = n1i, c = ci, n2 = n2i), table2, c("PETO", "RR")))
with(dat.damico2009, add("damico2009", "table", data.frame(a = xt, n1 = nt, c = xc, n2 = nc,
  moderator = conceal), table2, c("OR", "AS")))
with(dat.viechtbauer2021, add("viechtbauer2021", "table", data.frame(a = xTi, n1 = nTi, c = xCi,
  n2 = nCi, moderator = dose), table2, c("OR", "RD")))
with(dat.pritz1997, add("pritz1997", "single", data.frame(x = xi, n = ni), single))
with(dat.debruin2009, add("debruin2009", "single", data.frame(x = xi, n = ni, moderator = scq),
  single, c("PLO", "PAS", "PFT")))
with(dat.hannum2020, add("hannum2020", "single", data.frame(x = xi, n = ni,
  moderator = as.numeric(objectivity == "Objective")), single, c("PR", "PLN")))
with(dat.nielweise2008, add("nielweise2008", "rates", data.frame(x1 = x1i, t1 = t1i, x2 = x2i,
  t2 = t2i, moderator = year), rates))
with(dat.hart1999, add("hart1999", "rates", data.frame(x1 = x1i, t1 = t1i, x2 = x2i, t2 = t2i,
  moderator = year), rates))
with(subset(dat.mcdaniel1994, !is.na(struct)), add("mcdaniel1994", "correlations", data.frame(
  r = ri, n = ni, moderator = as.numeric(struct == "s")), c("COR", "ZCOR")))
with(dat.molloy2014, add("molloy2014", "correlations", data.frame(r = ri, n = ni,
  moderator = quality), c("COR", "ZCOR")))
with(dat.cohen1981, add("cohen1981", "correlations", data.frame(r = ri, n = ni),
  c("COR", "ZCOR"), "ZCOR"))
with(dat.aloe2013, add("aloe2013", "partial", data.frame(t = tval, m = preds, n = n), "PCOR"))
with(dat.bonett2010, add("bonett2010", "alpha", data.frame(alpha = ai, m = mi, n = ni,
  moderator = as.numeric(caregivers == "mixed")), "ARAW"))
with(dat.normand1999, add("normand1999_arm", "mean", data.frame(m = m2i, sd = sd2i, n = n2i),
  c("MN", "MNLN")))
# bourassa1996: the same people left-handed (condition 1) and left-eyed (condition 2).
with(subset(dat.bourassa1996, sex == "combined"), add("bourassa1996", "matched", data.frame(
  a = lh.le, b = lh.re, c = rh.le, d = rh.re,
  moderator = as.numeric(hand_assess == "performance")), matched))
# Weeks of contact beyond three count as three, as in the published analysis.
with(dat.raudenbush1985, add("raudenbush1985", "generic", data.frame(yi = as.numeric(yi), vi = vi,
  moderator = pmin(weeks, 3)), "GEN"))
with(dat.hackshaw1998, add("hackshaw1998", "generic", data.frame(yi = as.numeric(yi), vi = vi,
  moderator = as.numeric(design == "cohort")), "GEN"))
with(dat.bangertdrowns2004, add("bangertdrowns2004", "generic", data.frame(yi = as.numeric(yi),
  vi = vi, moderator = length), "GEN"))
with(subset(dat.begg1989, trt == "CMO"), add("begg1989", "generic", data.frame(
  yi = as.numeric(yi), vi = vi), "GEN"))
with(dat.konstantopoulos2011, add("konstantopoulos2011", "generic", data.frame(
  yi = as.numeric(yi), vi = vi, moderator = year), "GEN"))

# Effect sizes -----------------------------------------------------------------------------------
metafor_effects <- function(measure, family, d) {
  call <- switch(family,
    means = list(m1i = d$m1, sd1i = d$sd1, n1i = d$n1, m2i = d$m2, sd2i = d$sd2, n2i = d$n2),
    pairs = list(m1i = d$m1, m2i = d$m2, sd1i = d$sd1, sd2i = d$sd2, ni = d$n, ri = d$r),
    table = list(ai = d$a, n1i = d$n1, ci = d$c, n2i = d$n2),
    single = list(xi = d$x, ni = d$n),
    rates = list(x1i = d$x1, t1i = d$t1, x2i = d$x2, t2i = d$t2),
    correlations = list(ri = d$r, ni = d$n),
    partial = list(ti = d$t, mi = d$m, ni = d$n),
    alpha = list(ai = d$alpha, mi = d$m, ni = d$n),
    matched = list(ai = d$a, bi = d$b, ci = d$c, di = d$d),
    mean = list(mi = d$m, sdi = d$sd, ni = d$n))
  # A double zero says nothing about a ratio: drop00. Peto's method needs no correction.
  if (measure %in% c("OR", "RR", "PETO", "OR2D", "OR2DN", "IRR")) call$drop00 <- TRUE
  # The marginal measures of pairs need one only where a condition has no event or no non-event.
  if (measure %in% c("PETO", "MPRD", "MPRR", "MPOR", "MPPETO")) call$add <- 0
  e <- suppressWarnings(do.call(escalc, c(list(measure = measure), call)))
  data.frame(yi = as.numeric(e$yi), vi = as.numeric(e$vi))
}

# What metafor 3.8-1 lacks (SMCRP, SMCRPH, CLES), or defines otherwise than the papers and metafor
# from 4.6-0 (variance of SMDH, SMD1H, SMCRH) or 5.0 (bias correction of ROM, ROMC, CVR): the
# formulas of the papers, written out once more. README.md names the papers.
J <- function(m) ifelse(m > 1, exp(lgamma(m / 2) - log(sqrt(m / 2)) - lgamma((m - 1) / 2)), NA)
formula_effects <- function(measure, d) with(d, switch(measure,
  SMDH = {
    s2 <- (sd1^2 + sd2^2) / 2
    g <- J(n1 + n2 - 2) * (m1 - m2) / sqrt(s2)
    data.frame(yi = g, vi = g^2 * (sd1^4 / (n1 - 1) + sd2^4 / (n2 - 1)) / (8 * s2^2) +
                 (sd1^2 / (n1 - 1) + sd2^2 / (n2 - 1)) / s2)
  },
  SMD1H = {
    g <- J(n2 - 1) * (m1 - m2) / sd2
    data.frame(yi = g, vi = sd1^2 / (sd2^2 * (n1 - 1)) + 1 / (n2 - 1) + g^2 / (2 * (n2 - 1)))
  },
  CLES = {
    s2 <- sd1^2 + sd2^2
    z <- (m1 - m2) / sqrt(s2)
    data.frame(yi = pnorm(z), vi = dnorm(z)^2 * ((sd1^2 / n1 + sd2^2 / n2) / s2 +
                 z^2 * (sd1^4 / (n1 - 1) + sd2^4 / (n2 - 1)) / (2 * s2^2)))
  },
  ROM = {
    e <- metafor_effects("ROM", "means", d)
    e$yi <- e$yi + (sd1^2 / (n1 * m1^2) - sd2^2 / (n2 * m2^2)) / 2
    e
  },
  CVR = {
    e <- metafor_effects("CVR", "means", d)
    e$yi <- e$yi - (sd1^2 / (n1 * m1^2) - sd2^2 / (n2 * m2^2)) / 2
    e
  },
  ROMC = {
    e <- metafor_effects("ROMC", "pairs", d)
    e$yi <- e$yi + (sd1^2 / m1^2 - sd2^2 / m2^2) / (2 * n)
    e
  },
  SMCRH = {
    g <- J(n - 1) * (m1 - m2) / sd1
    data.frame(yi = g, vi = (sd1^2 + sd2^2 - 2 * r * sd1 * sd2) / (sd1^2 * (n - 1)) +
                 g^2 / (2 * (n - 1)))
  },
  SMCRP = {
    g <- J(2 * (n - 1) / (1 + r^2)) * (m1 - m2) / sqrt((sd1^2 + sd2^2) / 2)
    data.frame(yi = g, vi = 2 * (1 - r) / n + g^2 * (1 + r^2) / (4 * n))
  },
  SMCRPH = {
    s2 <- (sd1^2 + sd2^2) / 2
    g <- J(2 * (n - 1) / (1 + r^2)) * (m1 - m2) / sqrt(s2)
    data.frame(yi = g, vi = (sd1^2 + sd2^2 - 2 * r * sd1 * sd2) / (s2 * (n - 1)) +
                 g^2 * (sd1^4 + sd2^4 + 2 * r^2 * sd1^2 * sd2^2) / (8 * s2^2 * (n - 1)))
  }))
lacking <- c("CLES", "SMCRP", "SMCRPH")

# Models -----------------------------------------------------------------------------------------
methods <- c(CE = "EE", DL = "DL", HE = "HE", HS = "HS", HSk = "HSk", SJ = "SJ", ML = "ML",
             REML = "REML", EB = "EB", PM = "PM", PMM = "PMM")
tests <- c("z", "t", "knha", "adhoc")
out <- list(effects = list(), formulas = list(), tau2 = list(), means = list(), lines = list(),
            intervals = list(), predictions = list())
keep <- function(table, ...) out[[table]][[length(out[[table]]) + 1]] <<- data.frame(...)
or_na <- function(expression) tryCatch(suppressWarnings(expression), error = function(e) NULL)
pick <- function(x, i = 1) if (is.null(x) || length(x) < i) NA_real_ else as.numeric(x[i])

# Generalised Q, weights 1/(vi + a): the distribution of the quadratic form by Ruben's mixture of
# chi-squared distributions (1962, doi 10.1214/aoms/1177704580), its weights by Fourier transform,
# since metafor needs the package CompQuadForm for it.
ruben <- function(q, lambda) {
  beta <- min(lambda)
  gamma <- 1 - beta / lambda
  # The weights spread around the mean of the mixture and then fall like powers of max(gamma).
  size <- 2^ceiling(log2((45 * max(lambda) + 2 * sum(lambda)) / beta))
  z <- exp(2i * pi * (0:(size - 1)) / size)
  product <- rep(1 + 0i, size)
  for (g in gamma[gamma > 0]) product <- product / sqrt(1 - g * z)
  share <- Re(fft(product)) / size * exp(sum(log(beta / lambda)) / 2)
  1 - sum(share * pchisq(q / beta, length(lambda) + 2 * (0:(size - 1))))
}
generalised_q <- function(yi, vi, x, a) {
  w <- 1 / (vi + a)
  root <- sqrt(w) * x
  P <- diag(length(yi)) - root %*% solve(crossprod(root)) %*% t(root)
  q <- sum((P %*% (sqrt(w) * yi))^2)
  above <- function(tau2) {
    s <- sqrt((vi + tau2) * w)
    lambda <- eigen(s * t(s * t(P)), symmetric = TRUE, only.values = TRUE)$values
    ruben(q, lambda[seq_len(length(yi) - ncol(x))])
  }
  end <- function(p) {
    if (above(0) >= p) return(0)
    top <- var(yi)
    while (above(top) < p) top <- 2 * top
    uniroot(function(t) above(t) - p, c(0, top), tol = 1e-13 * top, maxiter = 1000)$root
  }
  c(end(.025), end(.975))
}
# Higgins & Thompson (2002, doi 10.1002/sim.1186): a normal interval for log H, with k - p + 1 in
# place of k when there is a moderator.
higgins_thompson <- function(f, typical) {
  k <- f$k - f$p + 1
  se <- if (f$QE > k) .5 * (log(f$QE) - log(k - 1)) / (sqrt(2 * f$QE) - sqrt(2 * k - 3)) else
    sqrt(1 / (2 * (k - 2)) * (1 - 1 / (3 * (k - 2)^2)))
  h <- sqrt(f$H2) * exp(c(-1, 1) * qnorm(.975) * se)
  pmax(0, h^2 - 1) * typical
}

models <- function(name, measure, yi, vi, moderator) {
  line <- !is.null(moderator)
  fit <- function(method, test) {
    call <- list(yi = yi, vi = vi, method = methods[[method]], test = test, control = tight(yi))
    if (line) call$mods <- moderator
    or_na(do.call(rma, call))
  }
  for (method in names(methods)) {
    for (test in tests) {
      f <- fit(method, test)
      if (test == "z") {
        keep("tau2", dataset = name, measure = measure, line = as.integer(line), method = method,
             k = as.integer(pick(f$k)), tau2 = pick(f$tau2), se = pick(f$se.tau2), i2 = pick(f$I2),
             h2 = pick(f$H2), q = pick(f$QE), q_p = pick(f$QEp), r2 = pick(f$R2))
      }
      if (line) {
        keep("lines", dataset = name, measure = measure, method = method, test = test,
             b0 = pick(f$beta), b1 = pick(f$beta, 2), se0 = pick(f$se), se1 = pick(f$se, 2),
             p0 = pick(f$pval), p1 = pick(f$pval, 2), lb0 = pick(f$ci.lb), lb1 = pick(f$ci.lb, 2),
             ub0 = pick(f$ci.ub), ub1 = pick(f$ci.ub, 2), qm = pick(f$QM), qm_p = pick(f$QMp))
      } else {
        plain <- or_na(predict(f))
        # Higgins, Thompson & Spiegelhalter (2009): t with k - 2 degrees of freedom; from metafor's
        # mean, standard error and tau2, since 3.8-1 has no switch for it.
        reach <- if (is.null(f) || f$k < 3 || method == "CE") NA_real_ else
          qt(.975, f$k - 2) * sqrt(f$se^2 + f$tau2)
        keep("means", dataset = name, measure = measure, method = method, test = test,
             estimate = pick(f$beta), se = pick(f$se), p = pick(f$pval), lb = pick(f$ci.lb),
             ub = pick(f$ci.ub), pi_lb = if (method == "CE") NA_real_ else pick(plain$pi.lb),
             pi_ub = if (method == "CE") NA_real_ else pick(plain$pi.ub),
             riley_lb = pick(f$beta) - reach, riley_ub = pick(f$beta) + reach)
      }
    }
  }
  limits <- function(kind, method, a, values) keep("intervals", dataset = name,
    measure = measure, line = as.integer(line), kind = kind, method = method, a = a,
    tau2_lb = values[1], tau2_ub = values[2], i2_lb = values[3], i2_ub = values[4],
    h2_lb = values[5], h2_ub = values[6])
  from_metafor <- function(kind, method, type) {
    ci <- or_na(confint(fit(method, "z"), type = type,
                        control = list(tol = 1e-14, maxiter = 10000, tau2.max = 1e6 * var(yi))))
    limits(kind, method, 0, if (is.null(ci)) rep(NA_real_, 6) else
      as.vector(t(ci$random[c("tau^2", "I^2(%)", "H^2"), 2:3])))
  }
  from_metafor("q-profile", "REML", "QP")
  from_metafor("profile", "REML", "PL")
  from_metafor("profile", "ML", "PL")
  x <- if (line) cbind(1, moderator) else matrix(1, length(yi), 1)
  f <- fit("REML", "z")
  typical <- f$vt
  around <- function(tau2) c(tau2, 100 * tau2 / (tau2 + typical), (tau2 + typical) / typical)
  for (a in c(0, typical))
    limits("generalised-q", "REML", a, around(generalised_q(yi, vi, x, a)))
  limits("higgins-thompson", "REML", 0, around(higgins_thompson(f, typical)))
  # What a new study is expected to show at both ends of the moderator.
  if (line) for (test in tests) for (at in range(moderator)) {
    f <- or_na(predict(fit("REML", test), newmods = at))
    keep("predictions", dataset = name, measure = measure, test = test, at = at,
         estimate = pick(f$pred), se = pick(f$se), lb = pick(f$ci.lb), ub = pick(f$ci.ub),
         pi_lb = pick(f$pi.lb), pi_ub = pick(f$pi.ub))
  }
}

for (name in names(sets)) {
  s <- sets[[name]]
  write_table(s$data, file.path("data", paste0(name, ".csv")))
  for (measure in s$measures) {
    e <- if (measure == "GEN") s$data[c("yi", "vi")] else if (measure %in% lacking)
      formula_effects(measure, s$data) else metafor_effects(measure, s$family, s$data)
    if (!(measure %in% lacking))
      keep("effects", dataset = name, measure = measure, row = seq_len(nrow(e)), e)
    own <- formula_effects(measure, s$data)
    if (!is.null(own))
      keep("formulas", dataset = name, measure = measure, row = seq_len(nrow(own)),
           yi = own$yi, vi = ifelse(is.na(own$yi), NA, own$vi))
    if (!(measure %in% s$models)) next
    use <- is.finite(e$yi) & is.finite(e$vi) & e$vi > 0
    models(name, measure, e$yi[use], e$vi[use], NULL)
    use <- use & is.finite(s$data$moderator)
    if (!is.null(s$data$moderator))
      models(name, measure, e$yi[use], e$vi[use], s$data$moderator[use])
  }
}
for (table in names(out)) write_table(do.call(rbind, out[[table]]), paste0(table, ".csv"))
writeLines(c("what,version",
  paste0("R,", R.version$major, ".", R.version$minor),
  paste0("metafor,", packageVersion("metafor")),
  paste0("metadat,", packageVersion("metadat"))), "versions.csv")
